//! A weight that is none is refused at start, as every other value that is none.

use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;
use crate::judge::stages::refused::{BadFile, RightFile, each_refused, unheard};

/// How many backends the file has.
const BACKENDS: usize = 4;

/// Zeros, other values that are none; and nothing listens meanwhile.
pub async fn zero_refused(scene: &Scene) -> Outcome {
    let at = scene.addresses()?;
    let right = weighted(&RightFile::drawn(scene, at)?);
    each_refused(scene, at, "zero-accepted", zeros(&right)).await?;
    each_refused(scene, at, "wrong-weight-accepted", others(&right)).await?;
    unheard(scene, |right| zeros(&weighted(right))).await?;
    Ok(())
}

/// The file with a weight for each backend.
fn weighted<'a>(right: &RightFile<'a>) -> RightFile<'a> {
    let RightFile { scene, file } = right;
    let file = (0..BACKENDS).rev().fold(file.clone(), |file, nth| {
        let weight = scene.draw.number(2..9);
        let at = file.line_of("[[pool.backend]]", nth, "address").unwrap_or(1);
        file.with_line_before(at + 1, format!("weight = {weight}"))
    });
    RightFile { scene, file }
}

fn instead(right: &RightFile<'_>, nth: usize, weight: &str) -> BadFile {
    right.instead("[[pool.backend]]", nth, "weight", &format!("weight = {weight}"))
}

/// One backend that is to get nothing, and a pool of such.
fn zeros(right: &RightFile<'_>) -> Vec<BadFile> {
    let draw = &right.scene.draw;
    let nth = usize::try_from(draw.number(0..4)).unwrap_or_default();
    let one = instead(right, nth, "0");
    let first = instead(right, 2, "0");
    let both = RightFile { scene: right.scene, file: first.file };
    let both = instead(&both, 3, "0");
    // Each of the two is as wrong as the other.
    let lines =
        right.line("[[pool.backend]]", 2, "weight")..=right.line("[[pool.backend]]", 3, "weight");
    vec![one, BadFile { lines: Some(lines), ..both }]
}

/// Less than nothing, a part, and a text.
fn others(right: &RightFile<'_>) -> Vec<BadFile> {
    let draw = &right.scene.draw;
    let number = draw.number(1..9);
    vec![
        instead(right, 1, &format!("-{number}")),
        instead(right, 0, &format!("{number}.5")),
        instead(right, 3, &format!("\"{number}\"")),
    ]
}
