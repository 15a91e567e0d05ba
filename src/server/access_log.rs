//! Where the lines of the access log go, and the thread that writes them there.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use rustix::fs::OFlags;
use tracing::{error, info, warn};

use crate::config::{AccessLog, Config, LogTarget};
use crate::proxy::access_log::{self, Form, Next, Queue};

/// How long lines gather before they are written together. It is what a line that
/// follows another may come late.
const GATHER: Duration = Duration::from_millis(10);

/// How much memory is kept for the next batch.
const KEPT: usize = 1024 * 1024;

/// How long the end of the process waits for lines to be written, where nobody may be
/// reading them.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// The same for a file, on a disk that may be slow.
const LAST_WORDS_TO_FILE: Duration = Duration::from_secs(5);

/// The access log of the process. On drop, what is queued is written out.
pub struct AccessLogWriter {
    log: Option<access_log::AccessLog>,
    queue: Arc<Queue>,
    ended: mpsc::Receiver<()>,
    last_words: Duration,
}

/// What lines are written to.
enum Sink {
    Stderr,
    Stdout,
    File {
        path: PathBuf,
        file: File,
    },
    /// What has room for so many bytes.
    #[cfg(test)]
    Small {
        room: usize,
        written: Vec<u8>,
    },
}

/// Writes batches, and says once when they can't be written and once when they can
/// again.
struct Writer {
    sink: Sink,
    queue: Arc<Queue>,
    /// The rest of a line that was cut by an error: it comes before anything else, so
    /// that no line is torn.
    torn: Vec<u8>,
    failing: bool,
    /// As many lines were lost when it was last told.
    told: u64,
}

// === impl AccessLogWriter ===

impl AccessLogWriter {
    /// Opens the place that lines go to and starts to write them. `colour` says
    /// whether a terminal shall have colours; it is found out where that is `None`.
    ///
    /// # Errors
    ///
    /// The file cannot be opened, or the system has no thread to give.
    pub fn start(config: &Config, colour: Option<bool>) -> anyhow::Result<Self> {
        let AccessLog { enabled, to, format } = &config.access_log;
        let queue = Arc::new(Queue::default());
        let (end, ended) = mpsc::channel();
        let sink = match to {
            LogTarget::Stderr => Sink::Stderr,
            LogTarget::Stdout => Sink::Stdout,
            LogTarget::File(path) if *enabled => Sink::open(path)?,
            LogTarget::File(_) => Sink::Stderr,
        };
        let last_words = match sink {
            Sink::File { .. } => LAST_WORDS_TO_FILE,
            _ => LAST_WORDS,
        };
        let terminal = match sink {
            Sink::Stderr => io::stderr().is_terminal(),
            Sink::Stdout => io::stdout().is_terminal(),
            _ => false,
        };
        let colour = match sink {
            Sink::File { .. } => false,
            _ => colour.unwrap_or_else(|| terminal && super::log::may_colour()),
        };
        // On stderr the lines are part of the log, whose filter can leave them out.
        let wanted = *enabled
            && (!matches!(sink, Sink::Stderr)
                || tracing::enabled!(target: "access", tracing::Level::INFO));
        if wanted {
            let writer = Writer::new(sink, Arc::clone(&queue));
            thread::Builder::new()
                .name("access log".to_owned())
                .spawn(move || {
                    writer.run();
                    // Whoever waited may have gone.
                    let _ = end.send(());
                })
                .context("cannot start the thread of the access log")?;
        }
        let form = Form { format: format.unwrap_or(config.log.format), colour };
        let log = wanted.then(|| access_log::AccessLog::new(form, Arc::clone(&queue)));
        Ok(Self { log, queue, ended, last_words })
    }

    /// What requests write to, if there is an access log.
    pub fn log(&self) -> Option<access_log::AccessLog> {
        self.log.clone()
    }

    /// The lines that wait to be written, and how many were lost.
    pub fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }
}

impl Drop for AccessLogWriter {
    fn drop(&mut self) {
        if self.log.is_some() {
            self.queue.end();
            let _ = self.ended.recv_timeout(self.last_words);
        }
    }
}

/// Says why lines could not be written to a file, if they couldn't, without making it.
///
/// # Errors
///
/// Why not.
pub fn inspect(path: &Path) -> io::Result<()> {
    match options().open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let folder = folder.unwrap_or(Path::new("."));
            Ok(rustix::fs::access(folder, rustix::fs::Access::WRITE_OK)?)
        }
        opened => opened.map(drop),
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    // A pipe that nobody reads is an error rather than a wait.
    options.append(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).mode(0o640);
    options
}

// === impl Sink ===

impl Sink {
    fn open(path: &Path) -> anyhow::Result<Self> {
        let file =
            open(path).with_context(|| format!("cannot open the access log {}", path.display()))?;
        Ok(Self::File { path: path.to_owned(), file })
    }

    /// Writes some of the bytes, as many as it says.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            // The lock is that of the log's lines too, so none lands inside another.
            Self::Stderr => whole(&mut io::stderr().lock(), bytes),
            Self::Stdout => whole(&mut io::stdout().lock(), bytes),
            Self::File { file, .. } => file.write(bytes),
            #[cfg(test)]
            Self::Small { room: 0, .. } => Err(io::ErrorKind::StorageFull.into()),
            #[cfg(test)]
            Self::Small { room, written } => {
                let part = &bytes[..bytes.len().min(*room)];
                *room -= part.len();
                written.write(part)
            }
        }
    }
}

/// Writes whole batches to a stream, as others write to it too.
fn whole(stream: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
    stream.write_all(bytes)?;
    stream.flush()?;
    Ok(bytes.len())
}

fn open(path: &Path) -> io::Result<File> {
    let file = options().create(true).open(path)?;
    rustix::fs::fcntl_setfl(&file, rustix::fs::fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    Ok(file)
}

// === impl Writer ===

impl Writer {
    fn new(sink: Sink, queue: Arc<Queue>) -> Self {
        Self { sink, queue, torn: Vec::new(), failing: false, told: 0 }
    }

    fn run(mut self) {
        let mut batch = Vec::new();
        loop {
            let next = self.queue.take(&mut batch);
            self.write(&batch);
            batch.clear();
            batch.shrink_to(KEPT);
            match next {
                Next::Lines => self.queue.pause(GATHER),
                Next::Reopen => self.reopen(),
                Next::End => return,
            }
            self.tell_what_was_lost();
        }
    }

    fn write(&mut self, batch: &[u8]) {
        let torn = std::mem::take(&mut self.torn);
        let result = match self.write_all(&torn) {
            Ok(()) => self.write_all(batch).map_err(|(written, error)| (&batch[written..], error)),
            Err((written, error)) => {
                self.torn = torn[written..].to_vec();
                self.lose(batch);
                Err((&[][..], error))
            }
        };
        match result {
            Ok(()) if self.failing && !batch.is_empty() => {
                self.failing = false;
                info!(target: "server", lost = self.queue.lost(),
                    "the access log is written again");
            }
            Ok(()) => {}
            Err((rest, cause)) => {
                let written = batch.len() - rest.len();
                let is_torn = written > 0 && !batch[..written].ends_with(b"\n");
                let end = rest.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
                let (torn, lost) = rest.split_at(if is_torn { end } else { 0 });
                self.torn.extend_from_slice(torn);
                self.lose(lost);
                if !std::mem::replace(&mut self.failing, true) {
                    error!(target: "server", reason = %cause,
                        "the access log cannot be written, its lines are lost until it can");
                }
            }
        }
    }

    /// How much was written before the error.
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        let mut written = 0;
        while written < bytes.len() {
            match self.sink.write(&bytes[written..]) {
                Ok(0) => return Err((written, io::ErrorKind::WriteZero.into())),
                Ok(more) => written += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err((written, error)),
            }
        }
        Ok(())
    }

    fn lose(&self, lines: &[u8]) {
        self.queue.lose(lines.iter().filter(|byte| **byte == b'\n').count() as u64);
    }

    /// Opens the file anew; where that fails, lines go on to where they went.
    fn reopen(&mut self) {
        let Sink::File { path, file } = &mut self.sink else { return };
        match open(path) {
            Ok(new) => {
                *file = new;
                // Its beginning is in the other file.
                self.torn.clear();
                info!(target: "server", file = %path.display(), "the access log was opened anew");
            }
            Err(reason) => error!(target: "server", file = %path.display(), %reason,
                "the access log cannot be opened anew, its lines go on to the old file"),
        }
    }

    /// Says when lines were lost that could have been written, had there been fewer.
    fn tell_what_was_lost(&mut self) {
        let lost = self.queue.lost();
        if !self.failing && lost > self.told {
            warn!(target: "server", lost = lost - self.told,
                "more lines of the access log came than could be written, some are lost");
        }
        self.told = lost;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_loses_lines_but_tears_none() {
        for first in 0..24 {
            let sink = Sink::Small { room: first, written: Vec::new() };
            let mut writer = Writer::new(sink, Arc::default());
            writer.write(b"first\nsecond\n");
            writer.write(b"third\n");
            let Sink::Small { room, .. } = &mut writer.sink else { unreachable!() };
            *room = 100;
            writer.write(b"fourth\n");
            let Sink::Small { written, .. } = &writer.sink else { unreachable!() };
            let text = std::str::from_utf8(written).unwrap();
            let mut all = ["first", "second", "third", "fourth"].iter();
            let lost = 4 - text.lines().count();
            // Each is whole, and in its order.
            assert!(text.lines().all(|line| all.any(|other| *other == line)), "{first}: {text:?}");
            assert!(text.ends_with("fourth\n"), "{first}: {text:?}");
            assert_eq!(writer.queue.lost(), lost as u64, "{first}: {text:?}");
            assert!(!writer.failing);
        }
    }

    #[test]
    fn what_was_queued_before_a_reopening_is_in_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let mut config = Config::default();
        config.access_log.to = LogTarget::File(path.clone());
        let writer = AccessLogWriter::start(&config, None).unwrap();
        writer.queue().push(b"old\n");
        let moved = folder.path().join("access.log.1");
        std::fs::rename(&path, &moved).unwrap();
        writer.queue().reopen();
        let begun = std::time::Instant::now();
        while !path.exists() {
            assert!(begun.elapsed() < Duration::from_secs(30));
            thread::yield_now();
        }
        writer.queue().push(b"new\n");
        drop(writer);
        assert_eq!(std::fs::read_to_string(&moved).unwrap(), "old\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new\n");
    }
}
