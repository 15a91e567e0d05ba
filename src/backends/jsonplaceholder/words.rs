//! Sentences about nothing much, the same for the same seed.

pub(super) const GIVEN_NAMES: [&str; 12] =
    ["Ada", "Bo", "Chen", "Dana", "Emeka", "Fen", "Greta", "Hana", "Ivo", "Jun", "Kim", "Lin"];

pub(super) const SURNAMES: [&str; 13] = [
    "Abara", "Berg", "Cao", "Duarte", "Eng", "Fontaine", "Gao", "Holm", "Ito", "Jansen", "Kovac",
    "Liu", "Moreau",
];

const PLACES: [&str; 8] =
    ["Alder", "Birch", "Cedar", "Harbour", "Mill", "Orchard", "Quarry", "Willow"];

const WHICH: [&str; 16] = [
    "quiet", "early", "patient", "narrow", "bright", "late", "steady", "distant", "careful",
    "warm", "second", "hidden", "honest", "slow", "green", "small",
];

const WHO: [&str; 20] = [
    "gateway",
    "harbour",
    "clerk",
    "letter",
    "bridge",
    "lantern",
    "river",
    "queue",
    "window",
    "ferry",
    "kettle",
    "map",
    "signal",
    "garden",
    "courier",
    "tower",
    "market",
    "door",
    "echo",
    "timetable",
];

const DOES: [&str; 14] = [
    "waits for",
    "answers",
    "passes",
    "remembers",
    "counts",
    "forgets",
    "carries",
    "greets",
    "follows",
    "watches",
    "returns to",
    "asks about",
    "borrows",
    "shares",
];

const WHEN: [&str; 8] = [
    "before noon",
    "without a word",
    "every other day",
    "after the rain",
    "in good order",
    "one at a time",
    "as agreed",
    "more than once",
];

/// Chooses words; a small generator of its own (SplitMix64, after G. Steele,
/// D. Lea and C. Flood, 2014), so that the data never changes with a library.
pub(super) struct Writer {
    state: u64,
}

impl Writer {
    pub fn seeded(seed: u64) -> Self {
        Self { state: seed }
    }

    /// A number from 0 up to, without, this one.
    pub fn below(&mut self, end: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    pub fn one_of(&mut self, words: &[&'static str]) -> &'static str {
        words[self.below(words.len() as u64) as usize]
    }

    pub fn place(&mut self) -> &'static str {
        self.one_of(&PLACES)
    }

    /// `the quiet gateway answers the early letter`.
    pub fn title(&mut self) -> String {
        let (first, second) = (self.one_of(&WHICH), self.one_of(&WHICH));
        let (who, whom) = (self.one_of(&WHO), self.one_of(&WHO));
        format!("the {first} {who} {} the {second} {whom}", self.one_of(&DOES))
    }

    /// So many sentences, one a line.
    pub fn paragraph(&mut self, sentences: usize) -> String {
        let sentence = |_| format!("{} {}", self.title(), self.one_of(&WHEN));
        (0..sentences).map(sentence).collect::<Vec<_>>().join("\n")
    }
}
