//! The bytes of a body, compressed as they come.

use std::io::{self, Write};

use brotli::CompressorWriter;
use bytes::Bytes;
use flate2::write::GzEncoder;
use parking_lot::Mutex;
use pingora::{Error, ErrorType, Result};

use crate::config::{self, Coding};

/// How far back brotli and zstd look, as a power of two: 512 KiB for each answer that is
/// under way, at most.
const WINDOW: u32 = 19;

/// The size of the buffer between brotli and what it writes to.
const BROTLI_BUFFER: usize = 4 * 1024;

/// Compresses one body. What has come goes on at once, as it does when nothing is
/// compressed: a slow stream stays one.
pub struct Encoder(State);

enum State {
    Gzip(GzEncoder<Vec<u8>>),
    Brotli(Box<CompressorWriter<Vec<u8>>>),
    /// In a lock that nobody waits for: what is inside may be sent to another thread,
    /// and not be shared.
    Zstd(Mutex<zstd::stream::write::Encoder<'static, Vec<u8>>>),
    Ended,
}

// === impl Encoder ===

impl Encoder {
    /// For a body of this length, if that is known.
    ///
    /// # Errors
    ///
    /// There is no memory for it.
    pub fn new(coding: Coding, levels: &config::Compress, length: Option<u64>) -> Result<Self> {
        let zstd = || -> io::Result<State> {
            let level = i32::from(levels.zstd_level.get());
            let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), level)?;
            encoder.window_log(WINDOW)?;
            // Less memory where there is less to come.
            encoder.set_pledged_src_size(length)?;
            Ok(State::Zstd(Mutex::new(encoder)))
        };
        let level = |level: u8| flate2::Compression::new(u32::from(level));
        let gzip = || State::Gzip(GzEncoder::new(Vec::new(), level(levels.gzip_level.get())));
        Ok(Self(match coding {
            Coding::Gzip => gzip(),
            Coding::Br => State::Brotli(Box::new(CompressorWriter::new(
                Vec::new(),
                BROTLI_BUFFER,
                u32::from(levels.brotli_level.get()),
                WINDOW,
            ))),
            Coding::Zstd => zstd().map_err(failed)?,
        }))
    }

    /// What takes the place of a piece of the body.
    ///
    /// # Errors
    ///
    /// See [`Self::encode`].
    pub fn filter(&mut self, piece: Option<Bytes>, end: bool) -> Result<Option<Bytes>> {
        let piece = piece.unwrap_or_default();
        if piece.is_empty() && !end {
            return Ok(None);
        }
        let coded = self.encode(&piece, end).map_err(failed)?;
        // An empty chunk would be the end.
        Ok((!coded.is_empty()).then_some(coded))
    }

    /// What the next piece of the body becomes, and after it, the end.
    ///
    /// # Errors
    ///
    /// None but that memory ends, or that the body has another length than its header
    /// said.
    pub fn encode(&mut self, piece: &[u8], end: bool) -> io::Result<Bytes> {
        let written = match &mut self.0 {
            State::Gzip(encoder) => {
                encoder.write_all(piece)?;
                if end {
                    encoder.try_finish()?
                } else {
                    encoder.flush()?
                }
                std::mem::take(encoder.get_mut())
            }
            State::Brotli(encoder) => {
                encoder.write_all(piece)?;
                if !end {
                    encoder.flush()?;
                }
                std::mem::take(encoder.get_mut())
            }
            State::Zstd(encoder) => {
                let encoder = encoder.get_mut();
                encoder.write_all(piece)?;
                if end {
                    encoder.do_finish()?
                } else {
                    encoder.flush()?
                }
                std::mem::take(encoder.get_mut())
            }
            State::Ended => Vec::new(),
        };
        if !end {
            return Ok(written.into());
        }
        // brotli writes its end when it is taken apart.
        let rest = match std::mem::replace(&mut self.0, State::Ended) {
            State::Brotli(encoder) => encoder.into_inner(),
            _ => Vec::new(),
        };
        Ok(if rest.is_empty() { written.into() } else { [written, rest].concat().into() })
    }
}

fn failed(error: io::Error) -> Box<Error> {
    Error::because(ErrorType::Custom("Compression"), "compressing an answer", error)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    pub(super) fn plain(coding: Coding, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut plain = Vec::new();
        match coding {
            Coding::Gzip => flate2::read::GzDecoder::new(bytes).read_to_end(&mut plain)?,
            Coding::Br => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut plain)?,
            Coding::Zstd => zstd::stream::read::Decoder::new(bytes)?.read_to_end(&mut plain)?,
        };
        Ok(plain)
    }

    #[test]
    fn every_coding_gives_back_what_came_whole_and_in_pieces() {
        let text: Vec<u8> = (0..40_000u32).flat_map(|n| (n / 7).to_string().into_bytes()).collect();
        for coding in [Coding::Gzip, Coding::Br, Coding::Zstd] {
            for size in [1_000_000, 64 * 1024, 777] {
                let length = (size == 777).then_some(text.len() as u64);
                let mut encoder =
                    Encoder::new(coding, &config::Compress::default(), length).unwrap();
                let mut coded = Vec::new();
                for piece in text.chunks(size) {
                    coded.extend(encoder.encode(piece, false).unwrap());
                }
                let cut = coded.clone();
                coded.extend(encoder.encode(b"", true).unwrap());
                assert!(encoder.encode(b"", true).unwrap().is_empty());
                assert_eq!(plain(coding, &coded).unwrap(), text, "{coding:?} {size}");
                assert!(coded.len() < text.len() / 2, "{coding:?}: {}", coded.len());
                // An end that has not come shows.
                let short = plain(coding, &cut);
                assert!(short.is_err(), "{coding:?} {size}: {:?}", short.map(|s| s.len()));
            }
        }
    }

    #[test]
    fn a_piece_can_be_read_as_soon_as_it_has_come() {
        for coding in [Coding::Gzip, Coding::Br, Coding::Zstd] {
            let mut encoder = Encoder::new(coding, &config::Compress::default(), None).unwrap();
            let coded = encoder.encode(b"data: one\n\n", false).unwrap();
            let mut first = [0; 11];
            let mut decoder: Box<dyn Read> = match coding {
                Coding::Gzip => Box::new(flate2::read::GzDecoder::new(&coded[..])),
                Coding::Br => Box::new(brotli::Decompressor::new(&coded[..], 4096)),
                Coding::Zstd => Box::new(zstd::stream::read::Decoder::new(&coded[..]).unwrap()),
            };
            decoder.read_exact(&mut first).unwrap_or_else(|e| panic!("{coding:?}: {e}"));
            assert_eq!(&first, b"data: one\n\n");
        }
    }
}
