//! The proxy's own answers, where no backend gives one.

use super::super::named_proxy::NamedProxy;
use super::marks;
use crate::backends::recording::{Act, Afterwards, RecordingBackend, Reply, chunked};
use crate::judge::client::{Answer, Cut, Request, Trouble};
use crate::judge::diagnosis::Finding;
use crate::judge::exchange::{Exchange, preview};
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;

/// How many requests are sent to a proxy whose backends have all been down since
/// before it was started. It may answer 502 until its health checks have told it;
/// that it comes to 503 is not asked here, only that what it answers is marked.
const ALL_DOWN: usize = 4;

/// Errors of every kind: refused (502 while the proxy does not know yet), all known
/// to be down (503), and one in the middle of an answer, where it is too late.
pub async fn errors_carry_them(scene: &Scene) -> Outcome {
    let refused = refused(scene);
    let all_down = all_down(scene);
    refused.await?;
    all_down.await
}

async fn refused(scene: &Scene) -> Outcome {
    let proxy = NamedProxy::start(scene, 2).await?;
    proxy.answer_with(&Reply::ok(scene.draw.word()));
    let request = proxy.running.request("GET", scene.draw.path());
    let exchange = proxy.exchange(proxy.running.client(), request).await;
    exchange.through(scene, &proxy.running).await?;
    let cut = cut(&proxy).await;

    for backend in &proxy.backends {
        let refused = backend.refuse();
        refused.map_err(|error| scene.our_error("a backend could not be stopped", &error))?;
    }
    scene.plan("all backends refuse");
    for request in requests(&proxy) {
        let exchange = proxy.exchange(proxy.running.client(), request).await;
        page(&proxy, &exchange, "refused").await?;
    }
    // Later in the telling than a page that is not there at all.
    cut
}

async fn all_down(scene: &Scene) -> Outcome {
    let backends = (1..=2)
        .map(|number| RecordingBackend::refusing(&scene.recorder, format!("backend {number}")))
        .collect::<Result<_, _>>()
        .map_err(|error| scene.our_error("a backend could not be opened", &error))?;
    let interval = scene.draw.number(40..120);
    scene.plan("all backends refuse from the start");
    let proxy = NamedProxy::start_in_front_of(scene, backends, interval).await?;
    let mut requests = requests(&proxy);
    requests.push(proxy.running.request("GET", scene.draw.path()));
    for request in requests.into_iter().cycle().take(ALL_DOWN) {
        let exchange = proxy.exchange(proxy.running.client(), request).await;
        page(&proxy, &exchange, "all down").await?;
    }
    Ok(())
}

fn requests(proxy: &NamedProxy<'_>) -> Vec<Request> {
    let draw = &proxy.scene.draw;
    let request = |method| proxy.running.request(method, draw.path());
    vec![request("GET"), request("HEAD"), request("POST").body(draw.bytes(40))]
}

/// A 502 or 503 of the proxy's own.
async fn page(proxy: &NamedProxy<'_>, exchange: &Exchange, state: &str) -> Outcome {
    let found = |id: &'static str, status: u16, expected: &str, actual: &str| {
        let found = exchange
            .found(proxy.scene, id)
            .compared(expected, actual)
            .with("status", status)
            .with("backends", state)
            .repeat(by_hand(proxy, &exchange.request));
        Err::<(), Finding>(found.fail())
    };
    let answer = match &exchange.answer {
        Ok(answer) => answer,
        Err(Trouble::Incomplete { missing, because, status: Some(status), .. }) => {
            let actual = format!("{missing}, then {because}");
            return found("error-page-length", *status, "a body of the length it tells", &actual)
                .map_err(|finding| match because {
                    Cut::PatienceOver(_) => finding.map(crate::judge::Diagnosis::timed),
                    Cut::Closed | Cut::Reset => finding,
                });
        }
        Err(trouble) => return Err(proxy.running.trouble(trouble, &exchange.request).await),
    };
    let status = answer.status;
    // 504 is for a backend that does not answer in time, but no lie about these.
    if !matches!(status, 502..=504) {
        return found("error-status-wrong", status, "502 or 503", &status.to_string());
    }
    let (missing, wrong) = marks_of(proxy, answer);
    let servers = answer.values("server");
    let wanted = marks(proxy).map(|(field, value)| format!("{field}: {value}")).join(" | ");
    let server = servers.iter().map(|server| format!("server: {server}")).collect::<Vec<_>>();
    if !missing.is_empty() {
        let actual = [missing, server].concat().join(" | ");
        return found("error-page-bare", status, &wanted, &actual);
    }
    if !wrong.is_empty() {
        return found("error-page-headers-wrong", status, &wanted, &wrong.join(" | "));
    }
    if !server.is_empty() {
        return found("error-page-names-server", status, "no server", &server.join(" | "));
    }
    if exchange.request.method == "HEAD" {
        return Ok(());
    }
    if answer.body.is_empty() {
        return found("error-page-empty", status, "a body that says why", "an empty body");
    }
    let told = ["content-length", "transfer-encoding"].map(|name| answer.values(name).len());
    if told == [0, 0] {
        let actual = "no content-length, nor chunks";
        return found("error-page-length", status, "a body of the length it tells", actual);
    }
    Ok(())
}

/// Which of the marks are missing, and which are there and wrong.
fn marks_of(proxy: &NamedProxy<'_>, answer: &Answer) -> (Vec<String>, Vec<String>) {
    let (mut missing, mut wrong) = (Vec::new(), Vec::new());
    for (field, right) in marks(proxy) {
        match answer.values(field).as_slice() {
            [value] if *value == right => {}
            [] => missing.push(format!("no {field}")),
            values => wrong.extend(values.iter().map(|value| format!("{field}: {value}"))),
        }
    }
    (missing, wrong)
}

/// A backend that goes away in the middle of its answer. What the client has got of
/// it cannot be taken back, so it must see that the rest is missing: an error page
/// in the place of the rest would make it look whole.
async fn cut(proxy: &NamedProxy<'_>) -> Outcome {
    let (scene, draw) = (proxy.scene, &proxy.scene.draw);
    let body = draw.bytes(usize::try_from(draw.number(300..900)).unwrap_or(300));
    let mut chunk = bytes::BytesMut::new();
    chunked::encode(&body, body.len(), &mut chunk);
    // Without the last chunk, `0` and two line ends, the answer has no end.
    chunk.truncate(chunk.len() - b"0\r\n\r\n".len());
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let bytes: bytes::Bytes = [&head[..], &chunk].concat().into();
    for backend in &proxy.backends {
        backend.always(Act::Raw(bytes.clone(), Afterwards::Close));
    }
    scene.plan(format!("{} bytes of an answer, then the end of the connection", body.len()));
    let request = proxy.running.request("POST", draw.path()).body(draw.bytes(20));
    let exchange = proxy.exchange(proxy.running.client(), request).await;
    let (actual, arrived) = match &exchange.answer {
        // All of it was still in the proxy's hands: it may say so.
        Ok(answer) if answer.status >= 500 => return Ok(()),
        Ok(answer) => ("an answer that looks whole", answer.body.clone()),
        Err(
            Trouble::Incomplete { because: Cut::PatienceOver(_), .. } | Trouble::NoAnswer { .. },
        ) => {
            let trouble = exchange.answer.as_ref().err();
            let Some(trouble) = trouble else { return Ok(()) };
            return Err(proxy.running.trouble(trouble, &exchange.request).await);
        }
        Err(Trouble::Incomplete { status: Some(_), arrived, .. }) if !body.starts_with(arrived) => {
            ("something else in the place of the rest", arrived.clone())
        }
        Err(Trouble::Incomplete { .. } | Trouble::EmptyReply | Trouble::Reset) => return Ok(()),
        Err(trouble) => return Err(proxy.running.trouble(trouble, &exchange.request).await),
    };
    let from = arrived.iter().zip(&body).position(|(one, other)| one != other);
    let behind = arrived.slice(from.unwrap_or(body.len()).min(arrived.len())..);
    let found = exchange
        .found(scene, "error-page-inside-answer")
        .compared("an answer that breaks off", format!("{actual}: {}", preview(&behind)))
        .with("bytes", body.len());
    Err(found.repeat(Vec::new()).fail())
}

/// With backends at ports where nobody listens.
fn by_hand(proxy: &NamedProxy<'_>, request: &Request) -> Vec<String> {
    let mut commands = proxy.by_hand(request);
    if let Some(run) = commands.first_mut() {
        *run = format!("LAB_BACKENDS=127.0.0.1:6198,127.0.0.1:6199 {run}");
    }
    commands
}
