//! TLS 1.2 and 1.3, and nothing older.

use std::time::Duration;

use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};

use super::setup::Setup;
use crate::judge::client::{Hello, NoTls, OldHello, Trouble};
use crate::judge::diagnosis::Diagnosis;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;

/// How soon a client that offers only what is too old is to know that.
const TO_REFUSE: Duration = Duration::from_millis(2500);

/// Each of the two alone, then the two that are too old, then one of today once more.
pub async fn tls_versions(scene: &Scene) -> Outcome {
    let (setup, [name, _]) = Setup::with_two_names(scene).await?;
    let mut today: [&'static SupportedProtocolVersion; 2] = [&TLS12, &TLS13];
    scene.draw.shuffle(&mut today);
    for version in today {
        spoken(&setup, &name, version).await?;
    }
    for old in [OldHello::Tls11, OldHello::Tls10] {
        refused(&setup, &name, old).await?;
    }
    spoken(&setup, &name, today[0]).await
}

async fn spoken(
    setup: &Setup<'_>,
    name: &str,
    version: &'static SupportedProtocolVersion,
) -> Outcome {
    let hello = Hello::to(name).only(version);
    match setup.client().secure(&hello).await {
        Ok(secured) => setup.serves(secured, name).await,
        Err(Trouble::NoTls(why @ (NoTls::Alert(_) | NoTls::Ended | NoTls::Broken(_)))) => {
            let is_13 = version.version == TLS13.version;
            let (words, flag) = if is_13 { ("TLS 1.3", "-tls1_3") } else { ("TLS 1.2", "-tls1_2") };
            Err(found(setup, "version-refused", words, flag, name)
                .compared(format!("a handshake with {words}"), &why)
                .with("reason", why.to_string())
                .fail())
        }
        Err(trouble) => Err(setup.no_tls(&trouble, &hello).await),
    }
}

async fn refused(setup: &Setup<'_>, name: &str, old: OldHello) -> Outcome {
    let client = setup.client().patience(TO_REFUSE);
    let flag = if old == OldHello::Tls11 { "-tls1_1" } else { "-tls1" };
    let expected = "an alert, or the end of the connection";
    match client.offers(old, name).await {
        Ok(false) => Ok(()),
        Ok(true) => Err(found(setup, "old-version-spoken", old.name(), flag, name)
            .compared(expected, "a ServerHello")
            .fail()),
        Err(Trouble::NoAnswer { after }) => {
            Err(found(setup, "old-version-hangs", old.name(), flag, name)
                .compared(expected, format!("nothing within {} ms", after.as_millis()))
                .with("seconds", format!("{:.1}", after.as_secs_f64()))
                .timed()
                .fail())
        }
        Err(trouble) => Err(setup.no_tls(&trouble, &Hello::to(name)).await),
    }
}

fn found(setup: &Setup<'_>, id: &'static str, version: &str, flag: &str, name: &str) -> Diagnosis {
    // Of what is too old OpenSSL offers nothing on its usual level.
    let weak = if flag.ends_with("_2") || flag.ends_with("_3") {
        ""
    } else {
        " -cipher DEFAULT@SECLEVEL=0"
    };
    let show = format!(
        "openssl s_client {flag}{weak} -connect 127.0.0.1:6443 -servername {name} </dev/null"
    );
    Diagnosis::new(id).with("version", version).repeat(setup.by_hand(&[&show]))
}
