//! `/bytes`, `/stream-bytes` and `/range`: bodies of a wanted size.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use rand::Rng;

use super::super::call::Call;
use super::super::reply;
use super::Refusal;
use super::parameter::{Number, optional_whole, seconds};
use super::shaped::{LONGEST, paced};
use super::twister::Twister;

/// The largest body of these routes, in bytes.
const LARGEST: u64 = 100 * 1024;

/// The size of a piece where the client does not say, in bytes.
const PIECE: usize = 10 * 1024;

pub(super) async fn bytes(Number(n): Number, call: Call) -> Result<Response, Refusal> {
    let data = random(n, optional_whole(&call, "seed")?);
    Ok(reply::typed(StatusCode::OK, reply::BYTES, data))
}

pub(super) async fn stream_bytes(Number(n): Number, call: Call) -> Result<Response, Refusal> {
    let data = Bytes::from(random(n, optional_whole(&call, "seed")?));
    let pieces = pieces(data, piece_size(&call)?).into_iter().map(Ok::<_, std::io::Error>);
    let body = Body::from_stream(stream::iter(pieces.collect::<Vec<_>>()));
    Ok(reply::typed(StatusCode::OK, reply::BYTES, body))
}

/// The alphabet over and over, whole or the part that `Range` asks for; spread
/// over `duration` seconds.
pub(super) async fn range(Number(n): Number, call: Call) -> Result<Response, Refusal> {
    let tag = HeaderValue::try_from(format!("range{n}"));
    let tag = tag.unwrap_or(HeaderValue::from_static("range"));
    let tagged = |response| {
        let response = reply::with(response, header::ETAG, tag.clone());
        reply::with(response, header::ACCEPT_RANGES, HeaderValue::from_static("bytes"))
    };
    if n == 0 || n > LARGEST {
        let message = "number of bytes must be in the range (0, 102400]";
        return Ok(tagged(reply::typed(StatusCode::NOT_FOUND, reply::TEXT, message)));
    }
    let duration = seconds(&call, "duration", Duration::ZERO, LONGEST)?;
    let size = piece_size(&call)?;
    let n = n as i64;
    let (first, last) = wanted(&call.headers, n);
    if first > last || !(0..n).contains(&first) || last >= n {
        let response = reply::typed(StatusCode::RANGE_NOT_SATISFIABLE, reply::TEXT, "");
        return Ok(tagged(content_range(response, &format!("bytes */{n}"))));
    }
    let whole = first == 0 && last == n - 1;
    let status = if whole { StatusCode::OK } else { StatusCode::PARTIAL_CONTENT };
    let data: Bytes = (first..=last).map(|place| b'a' + (place % 26) as u8).collect();
    let length = data.len();
    // The pause is for the whole; a part takes its part of it.
    let duration = duration.mul_f64(length as f64 / n as f64);
    let response = reply::typed(status, reply::BYTES, paced(pieces(data, size), duration));
    let response = reply::with(response, header::CONTENT_LENGTH, length.into());
    Ok(tagged(content_range(response, &format!("bytes {first}-{last}/{n}"))))
}

fn content_range(response: Response, value: &str) -> Response {
    match HeaderValue::from_str(value) {
        Ok(value) => reply::with(response, header::CONTENT_RANGE, value),
        Err(_) => response,
    }
}

/// The first and last position of the wanted part. As httpbin does, a `Range`
/// that is not understood is no `Range`, and only one part is ever given.
fn wanted(headers: &HeaderMap, n: i64) -> (i64, i64) {
    let value = headers.get(header::RANGE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let mut sides = value.trim().split('=');
    let (unit, positions) = (sides.next().unwrap_or(""), sides.next().unwrap_or(""));
    if !unit.starts_with("bytes") || sides.next().is_some() {
        return (0, n - 1);
    }
    let mut positions = positions.split('-').map(|text| text.trim().parse::<i64>().ok());
    match (positions.next().flatten(), positions.next().flatten()) {
        (None, None) => (0, n - 1),
        (None, Some(suffix)) => ((n - suffix).max(0), n - 1),
        (Some(first), None) => (first, n - 1),
        (Some(first), Some(last)) => (first, last),
    }
}

fn random(n: u64, seed: Option<i64>) -> Vec<u8> {
    let size = n.min(LARGEST) as usize;
    let mut data = vec![0; size];
    match seed {
        Some(seed) => {
            let mut twister = Twister::seeded(seed);
            data.fill_with(|| twister.byte());
        }
        None => rand::rng().fill_bytes(&mut data),
    }
    data
}

fn piece_size(call: &Call) -> Result<usize, Refusal> {
    let size = optional_whole(call, "chunk_size")?;
    Ok(size.map_or(PIECE, |size| usize::try_from(size).unwrap_or(1).max(1)))
}

fn pieces(mut data: Bytes, size: usize) -> Vec<Bytes> {
    let mut pieces = Vec::with_capacity(data.len().div_ceil(size));
    while !data.is_empty() {
        pieces.push(data.split_to(size.min(data.len())));
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_as_httpbin_reads_it() {
        let read = |value: &'static str| {
            let headers = HeaderMap::from_iter([(header::RANGE, HeaderValue::from_static(value))]);
            wanted(&headers, 100)
        };
        assert_eq!(wanted(&HeaderMap::new(), 100), (0, 99));
        assert_eq!(read("bytes=10-19"), (10, 19));
        assert_eq!(read("bytes=10-"), (10, 99));
        assert_eq!(read("bytes=-10"), (90, 99));
        assert_eq!(read("bytes=-1000"), (0, 99));
        assert_eq!(read("bytes=0-1,5-6"), (0, 99));
        assert_eq!(read("lines=1-2"), (0, 99));
        assert_eq!(read("bytes=5"), (5, 99));
        assert_eq!(read("bytes=20-10"), (20, 10));
    }

    #[test]
    fn pieces_are_of_the_size_but_the_last() {
        let sizes: Vec<_> = pieces(Bytes::from(vec![0; 25]), 10).iter().map(Bytes::len).collect();
        assert_eq!(sizes, [10, 10, 5]);
    }
}
