//! What an answer says about the backend that gave it.
//!
//! Three witnesses, in this order, and no fourth:
//!
//! 1. A lab backend, asked with [`ASK`], says in response headers which
//!    request headers it received and which response headers it sent.
//! 2. An echo service of httpbin's kind says in its JSON body which request
//!    headers it received.
//! 3. The backend itself, fetched without the proxy ([`Baseline`]), shows which
//!    response headers it sends.
//!
//! Where none of them speaks, the fact is unknown.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use serde::Serialize;

use super::compare::{Difference, Header};

/// The request header, with the value `1`, that asks a lab backend to report.
pub(super) const ASK: &str = "x-lab-observe";

/// The name that a lab backend gives itself.
const BACKEND: &str = "x-lab-backend";

/// The name that the proxy gives the backend: a claim of the proxy's.
const SERVED_BY: &str = "x-served-by";

const REQUEST: &str = "x-lab-observed-request";
const RESPONSE: &str = "x-lab-observed-response";
const OMITTED: &str = "x-lab-observed-omitted";

/// Which backend answered, and who says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// Its name.
    pub name: String,
    /// Who says so.
    pub source: BackendSource,
}

/// Who says which backend answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackendSource {
    /// A lab backend about itself.
    Lab,
    /// The proxy, in the response header `x-served-by`.
    XServedBy,
}

/// Who says what the headers behind the proxy were.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Witness {
    /// A lab backend, in its report.
    Lab,
    /// The body, a JSON echo of the request's headers.
    Echo,
    /// A fetch from the backend itself, without the proxy.
    Direct,
}

/// Why something is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unknown {
    /// No witness said anything.
    NoWitness,
    /// A lab backend left its report out because it was too long.
    TooLong,
    /// A report came that cannot be read.
    Unreadable,
    /// The backend's own answer had another status, so its headers prove
    /// nothing about this one.
    OtherStatus,
}

/// A difference and its witness, or why there is none.
pub type Finding = Result<(Difference, Witness), Unknown>;

/// The answer of the backend itself, to compare with.
#[derive(Clone, Debug)]
pub struct Baseline {
    status: u16,
    response: Vec<Header>,
    /// Names whose values differ between two fetches.
    varying: Vec<String>,
    /// Names that one of two fetches had more often than the other.
    irregular: Vec<String>,
    /// Names of request headers that the backend's side adds by itself.
    own_request_names: Vec<String>,
}

/// An answer, as far as the witnesses matter.
pub(super) struct Answer<'a> {
    pub status: u16,
    pub headers: &'a HeaderMap,
    /// The whole body, unless it was too long to keep.
    pub body: Option<&'a [u8]>,
}

/// Which backend answered, if anyone says.
///
/// A lab backend's word about itself comes before the proxy's claim.
pub(super) fn backend(headers: &HeaderMap) -> Option<Backend> {
    [(BACKEND, BackendSource::Lab), (SERVED_BY, BackendSource::XServedBy)].into_iter().find_map(
        |(header, source)| {
            // Two names for one backend are no name.
            let name = only(headers, header)?;
            let name = String::from_utf8_lossy(name).into_owned();
            (!name.is_empty()).then_some(Backend { name, source })
        },
    )
}

/// What the proxy did to the request.
pub(super) fn request(sent: &[Header], answer: &Answer, baseline: Option<&Baseline>) -> Finding {
    match report(answer.headers, REQUEST, "request") {
        Ok(received) => return Ok((Difference::between(sent, &received), Witness::Lab)),
        Err(Unknown::NoWitness) => {}
        Err(unknown) => return Err(unknown),
    }
    let received = echo(sent, answer).ok_or(Unknown::NoWitness)?;
    let mut difference = against_echo(sent, &received);
    if let Some(baseline) = baseline {
        difference.added.retain(|header| !baseline.own_request_names.contains(&header.name));
    }
    Ok((difference, Witness::Echo))
}

/// What the proxy did to the response.
pub(super) fn response(answer: &Answer, baseline: Option<&Baseline>) -> Finding {
    let got = Header::list(answer.headers);
    match report(answer.headers, RESPONSE, "response") {
        Ok(sent) => return Ok((Difference::between(&sent, &got), Witness::Lab)),
        Err(Unknown::NoWitness) => {}
        Err(unknown) => return Err(unknown),
    }
    let baseline = baseline.ok_or(Unknown::NoWitness)?;
    if baseline.status != answer.status {
        return Err(Unknown::OtherStatus);
    }
    let mut difference = Difference::between_except(&baseline.response, &got, |name| {
        name == "date" || baseline.varying.iter().any(|varying| varying == name)
    });
    let regular = |header: &Header| !baseline.irregular.contains(&header.name);
    difference.added.retain(regular);
    difference.removed.retain(regular);
    Ok((difference, Witness::Direct))
}

// === impl Baseline ===

impl Baseline {
    /// From two fetches of the same: what differs between them differs by
    /// itself. `sent` is what the two were asked with.
    pub(super) fn new(sent: &[Header], first: &Answer, second: &Answer) -> Self {
        let response = Header::list(first.headers);
        let between = Difference::between(&response, &Header::list(second.headers));
        let own_request_names = echo(sent, first)
            .map(|received| against_echo(sent, &received).added)
            .unwrap_or_default();
        let irregular = between.added.into_iter().chain(between.removed);
        Self {
            status: first.status,
            response,
            varying: between.changed.into_iter().map(|change| change.name).collect(),
            irregular: irregular.map(|header| header.name).collect(),
            own_request_names: own_request_names.into_iter().map(|header| header.name).collect(),
        }
    }
}

/// The value of a header that is there exactly once.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then(|| value.as_bytes())
}

/// A lab backend's report: base64url without padding of the JSON
/// `[["name","value"],…]`.
fn report(headers: &HeaderMap, header: &str, part: &str) -> Result<Vec<Header>, Unknown> {
    if !headers.contains_key(header) {
        let omitted = only(headers, OMITTED).unwrap_or_default();
        let omitted = String::from_utf8_lossy(omitted);
        let too_long = omitted.split(',').any(|word| word.trim() == part);
        return Err(if too_long { Unknown::TooLong } else { Unknown::NoWitness });
    }
    // Two reports contradict each other, or one was put there on the way.
    let value = only(headers, header).ok_or(Unknown::Unreadable)?;
    let json = URL_SAFE_NO_PAD.decode(value).map_err(|_| Unknown::Unreadable)?;
    let pairs: Vec<(String, String)> =
        serde_json::from_slice(&json).map_err(|_| Unknown::Unreadable)?;
    Ok(pairs.into_iter().map(|(name, value)| Header::new(&name, value)).collect())
}

/// The request headers in a body like httpbin's, `{"headers": {…}}`, or none
/// if the body is not such an echo.
///
/// Any service may have a field of that name, so the body must also prove that
/// it echoes *this* request: by the header that asks the lab backends, or by
/// the user agent.
fn echo(sent: &[Header], answer: &Answer) -> Option<Vec<Header>> {
    let body: serde_json::Value = serde_json::from_slice(answer.body?).ok()?;
    let mut received = Vec::new();
    for (name, value) in body.get("headers")?.as_object()? {
        match value {
            serde_json::Value::String(value) => received.push(Header::new(name, value)),
            // The Go httpbin gives each name a list.
            serde_json::Value::Array(values) => {
                for value in values {
                    received.push(Header::new(name, value.as_str()?));
                }
            }
            _ => return None,
        }
    }
    let proof = |header: &Header| {
        (header.name == ASK || header.name == "user-agent") && received.contains(header)
    };
    sent.iter().any(proof).then_some(received)
}

/// An echo joins duplicates with a comma and may hide headers, so names are
/// compared by their joined values, and a header that is not in it proves
/// nothing: nothing is ever called removed.
fn against_echo(sent: &[Header], received: &[Header]) -> Difference {
    let mut difference = Difference::between(&joined(sent), &joined(received));
    difference.removed.clear();
    difference
}

/// Each name once, its values joined as RFC 9110, section 5.3 allows.
fn joined(headers: &[Header]) -> Vec<Header> {
    let mut list: Vec<Header> = Vec::new();
    for header in headers {
        let value: Vec<&str> = header.value.split(',').map(str::trim).collect();
        let value = value.join(", ");
        match list.iter_mut().find(|other| other.name == header.name) {
            Some(other) => {
                other.value.push_str(", ");
                other.value.push_str(&value);
            }
            None => list.push(Header { name: header.name.clone(), value }),
        }
    }
    list
}

#[cfg(test)]
#[path = "observe_tests.rs"]
mod tests;
