//! What opens doors is in no log: neither on the standard output nor beside it.

use super::lines::{about, found};
use crate::backends::recording::Reply;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;
use crate::judge::stages::named_proxy::NamedProxy;
use crate::judge::stages::own::refuse;

/// Requests with secrets in their fields, served and not; answers with some in theirs.
pub async fn no_secrets(scene: &Scene) -> Outcome {
    let proxy = NamedProxy::start(scene, 2).await?;
    let draw = &scene.draw;
    let secret = || format!("{}{}{}", draw.word(), draw.number(10..100), draw.word());
    let mut known: Vec<(&str, String)> = Vec::new();
    for served in [true, true, false] {
        let (token, cookie, password, given) = (secret(), secret(), secret(), secret());
        proxy.answer_with(
            &Reply::ok("well").header("Set-Cookie", format!("session={given}; HttpOnly")),
        );
        let word = format!("{}{}", draw.word(), draw.number(100_000..1_000_000));
        let request = proxy
            .running
            .request("GET", format!("/anything/{word}"))
            .header("Authorization", format!("Bearer {token}"))
            .header("Cookie", format!("theme=dark; session={cookie}"))
            .header("Proxy-Authorization", format!("Basic {password}"));
        known.extend([
            ("Authorization", token),
            ("Cookie", cookie),
            ("Proxy-Authorization", password),
            ("Set-Cookie", given),
        ]);
        if !served {
            scene.plan("both backends refuse");
            proxy.backends.iter().try_for_each(|backend| refuse(scene, backend))?;
        }
        scene.plan(format!("GET /anything/{word}, served: {served}"));
        let answer = proxy.running.client().send(&request).await;
        if let Err(trouble) = &answer {
            return Err(proxy.running.trouble(trouble, &request).await);
        }
        // What is written of it is written by then.
        about(&proxy.running, &word).await;
        let written = proxy.running.written();
        let shown = |secret: &str| written.iter().find(|(_, text)| text.contains(secret));
        for (field, secret) in &known {
            if let Some((stream, _)) = shown(secret) {
                return Err(found(scene, "secret-logged", &request)
                    .compared(format!("no value of {field}"), format!("{secret} on its {stream}"))
                    .with("field", *field)
                    .with("stream", *stream)
                    .fail());
            }
        }
    }
    Ok(())
}
