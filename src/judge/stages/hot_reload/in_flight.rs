//! What is under way when its backend leaves the file is delivered whole, and holds nothing up.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::future;

use super::live::{ENDS, Live, Part, RESTARTS, SEEN, by_hand, in_words, is_of};
use crate::backends::recording::{Act, Gate, Log, RecordingBackend, Reply};
use crate::judge::client::{Answer, Connection, Trouble};
use crate::judge::config_file::ConfigFile;
use crate::judge::diagnosis::{Diagnosis, Finding};
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;

/// How many requests come to the pool of which a backend is gone.
const AFTERWARDS: usize = 6;

/// The pieces of an answer that comes bit by bit, and the pause between two of them.
const PIECES: usize = 12;
const PAUSE: Duration = Duration::from_millis(30);

/// By when the end of a connection is seen that has ended before.
const TO_SEE_ITS_END: Duration = Duration::from_millis(200);

/// What is under way.
const KINDS: [&str; 4] = [
    "an answer that had not begun, of a pool that is gone",
    "an answer that had not begun, of a backend that is gone",
    "an answer that had begun",
    "an upload",
];

/// Of one pool nothing is left in the second file, and of another one of two backends is gone.
pub async fn in_flight(scene: &Scene) -> Outcome {
    let [sign, gone, less] = [(); 3].map(|()| Part::drawn(scene));
    let signs = scene.backends_named(&sign.pool, 2)?;
    let left = scene.backends_named(&gone.pool, 1)?;
    let fewer = scene.backends_named(&less.pool, 2)?;
    let file = |listen: SocketAddr, changed: usize| {
        let pair = [&fewer[0], &fewer[1]];
        let file = less.add(ConfigFile::new().listener(listen), &pair[changed..]);
        let file = sign.add(file, &[&signs[changed]]);
        if changed == 0 { gone.add(file, &[&left[0]]) } else { file }
    };
    let live = Live::start(scene, &|listen| file(listen, 0)).await?;
    let mut idle = idle(&live, &sign.prefix).await?;
    let gate = Gate::closed();
    holds(&left[0], &gate);
    holds(&fewer[0], &gate);
    scene.plan("a change while requests are under way");

    let client = live.running.client();
    let sent = |prefix: &str| live.request(prefix);
    let (waits, drips) = (sent(&gone.prefix), sent(&format!("{}/drip", gone.prefix)));
    // Whose turn it is does not matter: one of two comes to each.
    let (one, other) = (sent(&less.prefix), sent(&less.prefix));
    let body = scene.draw.bytes(4000);
    let upload = live.running.request("POST", live.target(&format!("{}/upload", gone.prefix)));
    let upload = upload.body(body.clone());
    let (first, second) = {
        let bytes = upload.to_bytes();
        (bytes.slice(..bytes.len() - 2000), bytes.slice(bytes.len() - 2000..))
    };
    let uploads = async {
        let mut connection = client.connect().await?;
        let cut = |error: std::io::Error| Trouble::Connect(error.to_string());
        connection.write(&first).await.map_err(cut)?;
        while !gate.is_open() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        // If it fails, the answer says more.
        let _ = connection.write(&second).await;
        connection.read_answer("POST").await
    };
    let under_way = future::join5(
        client.send(&waits),
        future::join(client.send(&one), client.send(&other)),
        client.send(&drips),
        uploads,
        changes(&live, &file, &sign, &signs[1], &gate, [&left[0], &fewer[0]]),
    );
    let (waited, (one, other), dripped, uploaded, changed) = under_way.await;
    changed?;
    let less_one = if is_of(&one, &fewer[1]) { other } else { one };
    let expected = [left[0].name(), fewer[0].name(), left[0].name(), left[0].name()];
    let all = [waited, less_one, dripped, uploaded].into_iter().zip(expected).zip(KINDS);
    for ((answered, name), kind) in all {
        let whole = |answer: &Answer| answer.status == 200 && answer.text().starts_with(name);
        if !answered.as_ref().is_ok_and(whole) {
            live.lives(ENDS).await?;
            // Who has begun anew has nobody of before.
            let found = cut(&live, kind, &answered);
            let gone = match &mut idle {
                Some(idle) => idle.end().await.is_some(),
                None => false,
            };
            return Err(if gone { found.map(|found| found.renamed(RESTARTS)) } else { found });
        }
    }
    let whole = scene.recorder.read(|log| {
        let mut posts = log.requests_to(left[0].name()).filter(|one| one.method == "POST");
        posts.any(|one| one.body == body)
    });
    if !whole {
        let trouble = Trouble::Connect("the backend did not get the whole of it".to_owned());
        return Err(cut(&live, KINDS[3], &Err(trouble)));
    }
    for _ in 0..AFTERWARDS {
        let answer = live.served(&less.prefix).await?;
        if answer.text() == fewer[0].name() {
            return Err(Diagnosis::new("removed-still-used")
                .compared(format!("an answer of {}", fewer[1].name()), answer.text())
                .with("backend", fewer[0].name())
                .repeat(by_hand("removed-still-used"))
                .fail());
        }
    }
    Ok(())
}

/// A connection over which nothing is under way; none where the program keeps none.
async fn idle(live: &Live<'_>, prefix: &str) -> Result<Option<Connection>, Finding> {
    let request = live.request(prefix);
    let asked = async {
        let mut connection = live.client().connect().await?;
        let answer = connection.send(&request).await?;
        Ok((connection, answer.reusable))
    };
    match asked.await {
        Ok((connection, true)) => Ok(Some(connection.patience(TO_SEE_ITS_END))),
        Ok((_, false)) => Ok(None),
        Err(trouble) => Err(live.running.trouble(&trouble, &request).await),
    }
}

/// Answers when the gate opens, but for what is to come bit by bit.
fn holds(backend: &RecordingBackend, gate: &Gate) {
    let (hold, name) = (gate.clone(), backend.name().to_owned());
    backend.set_to(move |received| {
        if received.target.contains("/drip/") {
            let reply = Reply::ok(format!("{name}{}", " and more".repeat(30)));
            let chunk = reply.to_bytes(&received.method).len().div_ceil(PIECES);
            Act::Drip { reply, chunk, every: PAUSE }
        } else if received.target.contains("/upload/") {
            Act::Answer(Reply::ok(name.clone()))
        } else {
            Act::Hold(hold.clone(), Reply::ok(name.clone()))
        }
    });
}

/// Changes the file once all is under way, waits until that is seen, and lets go what waits.
async fn changes(
    live: &Live<'_>,
    file: &(impl Fn(SocketAddr, usize) -> ConfigFile + Sync),
    sign: &Part,
    new: &RecordingBackend,
    gate: &Gate,
    [left, held]: [&RecordingBackend; 2],
) -> Outcome {
    let (name, post) = (left.name().to_owned(), "POST");
    let there = |log: &Log| {
        let at = |wanted: &dyn Fn(&str, &str) -> bool| {
            log.requests_to(&name).any(|one| wanted(&one.method, &one.target))
        };
        let get = at(&|method, target| method == "GET" && !target.contains("/drip/"));
        let drip = at(&|_, target| target.contains("/drip/"));
        let held = log.requests_to(held.name()).next().is_some();
        (get && drip && held && at(&|method, _| method == post)).then_some(())
    };
    // One that never comes is told by what its client gets.
    live.scene.recorder.wait_for(Instant::now() + SEEN, there).await;
    let changed = live.replace(&file(live.listen(), 1));
    let seen = match changed {
        Ok(()) => live.takes(&sign.prefix, new, "change-not-seen").await,
        Err(finding) => Err(finding),
    };
    gate.open();
    match seen {
        // Perhaps it has only waited for those that are let go now.
        Err(finding) if finding.diagnosis().id == "change-not-seen" => {
            let now = live.takes(&sign.prefix, new, "change-not-seen").await;
            let id = if now.is_ok() { "reload-waits-for-requests" } else { "change-not-seen" };
            Err(finding.map(|found| found.renamed(id).repeat(by_hand(id))))
        }
        seen => seen,
    }
}

fn cut(live: &Live<'_>, kind: &str, answered: &Result<Answer, Trouble>) -> Finding {
    let seen = in_words(answered);
    let found = Diagnosis::new("in-flight-cut")
        .compared("the whole answer of the backend that it was sent to", &seen)
        .with("kind", kind)
        .with("seen", seen)
        .with("output", live.last_lines())
        .repeat(by_hand("in-flight-cut"));
    let in_time = !matches!(answered, Err(Trouble::NoAnswer { .. }));
    if in_time { found.fail() } else { found.timed().fail() }
}
