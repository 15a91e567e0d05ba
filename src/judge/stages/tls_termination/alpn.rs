//! What is spoken inside TLS is agreed on in the handshake (ALPN; RFC 7301).

use super::setup::{Setup, curl, get};
use crate::judge::client::{Hello, Http2, NoTls, Secured, Trouble};
use crate::judge::diagnosis::{Diagnosis, Finding};
use crate::judge::exchange::Exchange;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;

/// Who offers `h2` gets it; who does not is served all the same.
pub async fn alpn_h2(scene: &Scene) -> Outcome {
    let (setup, [name, _]) = Setup::with_two_names(scene).await?;
    for offer in [&["h2", "http/1.1"][..], &["h2"]] {
        let secured = agreed(&setup, &name, offer, "h2-not-offered").await?;
        let got = secured.shown.protocol.clone();
        if got.as_deref() != Some("h2") {
            return Err(found(&setup, "h2-not-offered", &name, offer)
                .compared("h2", in_words(got.as_deref()))
                .with("got", in_words(got.as_deref()))
                .fail());
        }
        let begun = Http2::over(secured, setup.client().patience).await;
        let http2 = match begun {
            Ok(http2) => http2,
            Err(trouble) => return Err(other_language(&setup, &name, offer, &trouble)),
        };
        let request = get(&name, &scene.draw.path());
        let exchange = Exchange::sent(scene, request.clone(), http2.send(&request)).await;
        // What the answer is like, another check asks.
        match &exchange.answer {
            Ok(_) => {}
            Err(trouble @ Trouble::Http2(_)) if exchange.received.is_empty() => {
                return Err(other_language(&setup, &name, offer, trouble));
            }
            Err(trouble) => return Err(setup.no_tls(trouble, &Hello::to(&*name)).await),
        }
    }
    for offer in [&["http/1.1"][..], &[]] {
        let secured = agreed(&setup, &name, offer, "http1-refused").await?;
        let got = secured.shown.protocol.clone();
        if got.as_deref().is_some_and(|got| got != "http/1.1") {
            return Err(found(&setup, "http1-refused", &name, offer)
                .compared("http/1.1", in_words(got.as_deref()))
                .with("got", in_words(got.as_deref()))
                .fail());
        }
        let request = get(&name, &scene.draw.path());
        let mut connection = secured.connection;
        let exchange = Exchange::sent(scene, request.clone(), connection.send(&request)).await;
        if let Err(trouble @ Trouble::NotHttp { .. }) = &exchange.answer {
            return Err(other_language(&setup, &name, offer, trouble));
        }
        setup.answered(&exchange).await?;
    }
    Ok(())
}

/// A handshake with this offer.
async fn agreed(
    setup: &Setup<'_>,
    name: &str,
    offer: &[&'static str],
    refused: &'static str,
) -> Result<Secured, Finding> {
    let hello = Hello::to(name).offering(offer);
    match setup.client().secure(&hello).await {
        Ok(secured) => Ok(secured),
        // There is an alert of its own for it: no_application_protocol.
        Err(Trouble::NoTls(why @ NoTls::Alert(_))) => Err(found(setup, refused, name, offer)
            .compared(offered(offer), &why)
            .with("got", why.to_string())
            .fail()),
        Err(trouble) => Err(setup.no_tls(&trouble, &hello).await),
    }
}

/// It was agreed on, and something else is spoken.
fn other_language(setup: &Setup<'_>, name: &str, offer: &[&str], trouble: &Trouble) -> Finding {
    found(setup, "not-what-was-agreed", name, offer)
        .compared("an answer in what was agreed on", trouble)
        .with("got", trouble.to_string())
        .fail()
}

fn found(setup: &Setup<'_>, id: &'static str, name: &str, offer: &[&str]) -> Diagnosis {
    let flag = match offer {
        [] => " --no-alpn",
        offer if offer.contains(&"h2") => " --http2",
        _ => " --http1.1",
    };
    let show = curl("https", "/get", name).replacen("curl", &format!("curl -v{flag}"), 1);
    Diagnosis::new(id).with("offer", offered(offer)).repeat(setup.by_hand(&[&show]))
}

fn offered(offer: &[&str]) -> String {
    if offer.is_empty() { "no ALPN".to_owned() } else { offer.join(", ") }
}

fn in_words(protocol: Option<&str>) -> String {
    protocol.unwrap_or("no protocol").to_owned()
}
