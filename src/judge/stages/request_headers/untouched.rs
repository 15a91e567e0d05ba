//! What the client sends besides arrives as it was sent.

use super::super::named_proxy::NamedProxy;
use crate::backends::recording::Received;
use crate::judge::client::Request;
use crate::judge::exchange::Exchange;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;

/// Values of one name, in order, as bytes.
type Values = Vec<Vec<u8>>;

/// Fields of every kind, the values byte for byte, repeated ones in their order.
///
/// Names may change their case and their places among other names (RFC 9110,
/// section 5.3); the fields of the connection are the proxy's own business.
pub async fn untouched(scene: &Scene) -> Outcome {
    let proxy = NamedProxy::start(scene, 2).await?;
    for request in requests(&proxy) {
        let exchange = proxy.exchange(proxy.running.client(), request).await;
        let (received, _) = exchange.through(scene, &proxy.running).await?;
        compare(&proxy, &exchange, received)?;
    }
    Ok(())
}

fn requests(proxy: &NamedProxy<'_>) -> Vec<Request> {
    let draw = &proxy.scene.draw;
    let get = || proxy.running.request("GET", draw.path());
    let own = || format!("X-{}", draw.word());
    let usual: [(&str, String); 8] = [
        ("User-Agent", format!("{}/1.0 (x; y)", draw.word())),
        ("Accept", "text/html, application/json;q=0.9, */*;q=0.1".to_owned()),
        ("Accept-Language", "zh-CN,zh;q=0.9,en;q=0.1".to_owned()),
        ("Accept-Encoding", "gzip, identity;q=0.5".to_owned()),
        ("Authorization", format!("Bearer {}.{}==", draw.word(), draw.word())),
        ("Referer", format!("http://{}.example/?a=b,c", draw.word())),
        ("If-None-Match", format!("\"{}\", W/\"{}\"", draw.word(), draw.word())),
        ("Cookie", format!("a={}; b=\"{}, {}\"", draw.word(), draw.word(), draw.word())),
    ];
    let mut usual = usual.to_vec();
    draw.shuffle(&mut usual);
    let usual = usual.into_iter().fold(get(), |request, (name, value)| request.header(name, value));

    // One name four times, with commas inside, others between; equal values too.
    let (name, other) = (own(), own());
    let (first, second) = (draw.word(), format!("{}, {}", draw.word(), draw.word()));
    let repeated = get()
        .header(&*name, &first)
        .header(&*other, draw.word())
        .header(&*name, &second)
        .header(name.to_uppercase(), &first)
        .header(&*other, draw.word())
        .header(name.to_lowercase(), draw.word());

    // All that RFC 9110 (section 5.5) allows in a value and a program may stumble
    // over: nothing, signs, a tab inside, bytes that are not ASCII nor UTF-8.
    let mut odd = vec![
        Vec::new(),
        b"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~".to_vec(),
        format!("{}\t{}  {}", draw.word(), draw.word(), draw.word()).into_bytes(),
        "值，带逗号".as_bytes().to_vec(),
        [draw.word().as_bytes(), &[0x80, 0xe9, 0xff], draw.word().as_bytes()].concat(),
        vec![b'l'; usize::try_from(draw.number(1_000..3_000)).unwrap_or(1_000)],
    ];
    draw.shuffle(&mut odd);
    let odd = odd.into_iter().fold(get(), |request, value| request.header(own(), value));

    let posted = proxy.running.request("POST", draw.path());
    let posted = posted.header("Content-Type", "text/plain; charset=\"utf-8\"");
    let posted = posted.header(own(), draw.word()).body(draw.bytes(100));
    vec![usual, repeated, odd, posted]
}

fn compare(proxy: &NamedProxy<'_>, exchange: &Exchange, received: &Received) -> Outcome {
    let sent = fields(&exchange.request.head_bytes());
    let arrived = fields(&received.raw_head);
    for (name, _) in sent.iter().filter(|(name, _)| name != "host") {
        let (expected, actual) = (values(&sent, name), values(&arrived, name));
        if expected == actual {
            continue;
        }
        let id = difference(&expected, &actual);
        let found = exchange
            .found(proxy.scene, id)
            .compared(shown(name, &expected), shown(name, &actual))
            .with("field", &**name)
            .with("sent", expected.len())
            .with("received", actual.len())
            .repeat(proxy.by_hand(&exchange.request));
        return Err(found.fail());
    }
    Ok(())
}

fn difference(expected: &Values, actual: &Values) -> &'static str {
    let sorted = |values: &Values| {
        let mut values = values.clone();
        values.sort();
        values
    };
    let joined = |separator: &[u8]| actual.len() == 1 && expected.join(separator) == actual[0];
    if expected.len() > 1 && [&b", "[..], b",", b"; ", b";"].into_iter().any(joined) {
        "client-header-joined"
    } else if actual.len() < expected.len() {
        "client-header-lost"
    } else if actual.len() > expected.len() {
        "client-header-doubled"
    } else if sorted(expected) == sorted(actual) {
        "client-header-reordered"
    } else {
        "client-header-changed"
    }
}

/// The fields of a head: name in lower case, value without the white space around
/// it, which is not part of it.
fn fields(head: &[u8]) -> Vec<(String, Vec<u8>)> {
    let lines = head.split(|byte| *byte == b'\n').skip(1);
    let fields = lines.filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = String::from_utf8_lossy(&line[..colon]).to_ascii_lowercase();
        Some((name, line[colon + 1..].trim_ascii().to_vec()))
    });
    fields.collect()
}

fn values(fields: &[(String, Vec<u8>)], name: &str) -> Values {
    let named = fields.iter().filter(|(other, _)| other == name);
    named.map(|(_, value)| value.clone()).collect()
}

fn shown(name: &str, values: &Values) -> String {
    const LONGEST: usize = 120;
    if values.is_empty() {
        return format!("no {name}");
    }
    let lines = values.iter().map(|value| {
        let text =
            String::from_utf8(value.clone()).unwrap_or_else(|_| value.escape_ascii().to_string());
        format!("{name}: {}", text.chars().take(LONGEST).collect::<String>())
    });
    lines.collect::<Vec<_>>().join(" | ")
}
