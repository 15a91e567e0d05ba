//! A file that is right, to be made bad.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::BadFile;
use crate::judge::config_file::ConfigFile;
use crate::judge::diagnosis::Finding;
use crate::judge::scene::{Addresses, Scene};

/// So many lines stand before the first table. The numbers of the lines that matter
/// are then none that a message would have for another reason: a column, a part of an
/// address.
const COMMENTS: RangeInclusive<u64> = 60..=75;

/// A right file, to be made bad.
#[derive(Debug)]
pub struct RightFile<'a> {
    /// From which more of it may be drawn.
    pub scene: &'a Scene,
    /// The whole.
    pub file: ConfigFile,
}

// === impl RightFile ===

impl<'a> RightFile<'a> {
    /// One listener, two pools of two backends each, three routes.
    ///
    /// # Errors
    ///
    /// There is no free port, which is inconclusive.
    pub fn drawn(scene: &'a Scene, at: Addresses) -> Result<Self, Finding> {
        let draw = &scene.draw;
        let mut file = ConfigFile::new();
        for _ in 0..draw.number(*COMMENTS.start()..*COMMENTS.end()) {
            file = file.line(format!("# {} {}", draw.word(), draw.word()));
        }
        file = file.listener(at.listen);
        let pools = [draw.word(), draw.word()];
        for pool in &pools {
            let backends = [scene.free_address()?, scene.free_address()?];
            let interval = Duration::from_millis(draw.number(20_000..60_000));
            file = file.pool(pool, Some(interval), backends);
        }
        let (host, prefix) = (format!("{}.test", draw.word()), format!("/{}", draw.word()));
        file = file.route(&[&host], None, &pools[0]).route(&[], Some(&prefix), &pools[1]).route(
            &[],
            None,
            &pools[0],
        );
        Ok(Self { scene, file })
    }

    /// The line of a key of the `nth` table with this header; see [`ConfigFile::line_of`].
    pub fn line(&self, header: &str, nth: usize, key: &str) -> usize {
        self.file.line_of(header, nth, key).unwrap_or(1)
    }

    /// With this line in place of that of a key.
    pub fn instead(&self, header: &str, nth: usize, key: &str, line: &str) -> BadFile {
        let at = self.line(header, nth, key);
        BadFile::at(self.file.clone().with_line(at, line), at)
    }

    /// With this line behind that of a key.
    pub fn behind(&self, header: &str, nth: usize, key: &str, line: &str) -> BadFile {
        let at = self.line(header, nth, key) + 1;
        BadFile::at(self.file.clone().with_line_before(at, line), at)
    }
}
