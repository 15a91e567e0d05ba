//! A certificate that can't be used is refused at start, as everything in the file that
//! can't be.

use std::path::{Path, PathBuf};

use super::ID;
use super::setup::openssl;
use crate::judge::certificates::Issued;
use crate::judge::config_file::{CERTIFICATE, ConfigFile};
use crate::judge::diagnosis::Finding;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;
use crate::judge::stages::refused::{BadFile, RightFile, each_refused, unheard};

/// The names of the certificates that are there.
const NAMES: [&str; 3] = ["a.test", "b.test", "c.test"];

/// A key of another certificate, files that are not there or hold something else, and no
/// certificate at all; nothing listens meanwhile.
pub async fn bad_certificate(scene: &Scene) -> Outcome {
    let at = scene.addresses()?;
    let right = RightFile::drawn(scene, at)?;
    let bad = bad_files(&right)?;
    let refused = each_refused(scene, at, "bad-certificate-accepted", bad).await;
    refused.map_err(by_hand)?;
    // The one that is noticed latest.
    unheard(scene, |right| bad_files(right).unwrap_or_default()).await.map_err(by_hand)?;
    Ok(())
}

fn bad_files(right: &RightFile<'_>) -> Result<Vec<BadFile>, Finding> {
    let scene = right.scene;
    let names = NAMES.map(|name| vec![name.to_owned()]);
    let issued = scene.certificates(&names)?;
    let [one, other, third] = issued.all() else { return Ok(Vec::new()) };
    let nowhere = one.certificate_file.with_file_name("none.pem");
    let with = |second: (&Path, &Path)| with_second(right, one, second);
    Ok(vec![
        with((&other.certificate_file, &third.key_file)),
        with((&nowhere, &other.key_file)),
        with((&other.key_file, &other.key_file)),
        none(right),
    ])
}

/// With two certificates, of which the second is as it is said here.
fn with_second(right: &RightFile<'_>, first: &Issued, second: (&Path, &Path)) -> BadFile {
    let pairs = [(&*first.certificate_file, &*first.key_file), second];
    let file = right.file.clone().certificates(pairs);
    let at = file.line_of(CERTIFICATE, 1, "").unwrap_or(1);
    // The paths are other ones in each run.
    let name = |path: &Path| path.file_name().map(PathBuf::from).unwrap_or_default();
    let (certificate, key) = (name(second.0), name(second.1));
    let wrong = format!("certificate = \"{}\", key = \"{}\"", certificate.display(), key.display());
    BadFile { file, lines: Some(at..=at + 2), wrong }
}

/// TLS, and no certificate.
fn none(right: &RightFile<'_>) -> BadFile {
    let file = right
        .file
        .clone()
        .table("[listener.tls]", [("certificates", Vec::<toml::Value>::new().into())]);
    let at = file.line_of("[listener.tls]", 0, "certificates").unwrap_or(1);
    BadFile { file, lines: Some(at - 1..=at), wrong: "certificates = []".to_owned() }
}

/// Commands that make what the check had, in the folder at hand.
fn by_hand(finding: Finding) -> Finding {
    let lab = |port: u16| std::net::SocketAddr::from(([127, 0, 0, 1], port));
    finding.map(|found| {
        let mut commands: Vec<_> = NAMES
            .iter()
            .map(|name| {
                openssl(&[(*name).to_owned()], &format!("{name}.pem"), &format!("{name}.key"))
            })
            .collect();
        let wrong = found.evidence.get("wrong").and_then(|wrong| wrong.as_str());
        let lines = wrong.unwrap_or_default().replace(", key", "\nkey");
        let lines = lines.replace("= \"", "= \"$PWD/");
        let file = ConfigFile::new().listener(lab(6443));
        let file = if lines.contains("[]") {
            file.line("[listener.tls]").line(lines)
        } else {
            lines.lines().fold(file.line(CERTIFICATE), ConfigFile::line)
        };
        let file = file.pool("lab", None, [lab(6190)]).route(&[], None, "lab");
        commands.extend([
            file.command("lab.toml"),
            format!("LAB_CONFIG=$PWD/lab.toml pingora-lab run {ID}; echo $?"),
        ]);
        found.repeat(commands)
    })
}
