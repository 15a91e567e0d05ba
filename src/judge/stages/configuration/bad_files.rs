//! What people do to a file that was right.

use crate::judge::stages::refused::{BadFile, RightFile};

impl RightFile<'_> {
    /// Keys that there are not: for each kind of table one, and one of the whole.
    pub fn unknown_keys(&self) -> Vec<BadFile> {
        let draw = &self.scene.draw;
        let misspelt = |words: &[&str]| (*draw.pick(words)).to_owned();
        let first = self.line("[[listener]]", 0, "");
        let whole = format!("{} = 3", misspelt(&["listen", "thread", "pools", &draw.word()]));
        let whole = BadFile::at(self.file.clone().with_line_before(first, whole), first);
        let key = misspelt(&["adress", "port", "backlog_size", &draw.word()]);
        let listener = self.behind("[[listener]]", 0, "address", &format!("{key} = 8"));
        let key = misspelt(&["backends", "balanced", "weigth", &draw.word()]);
        let pool = self.behind("[[pool]]", 1, "name", &format!("{key} = \"{}\"", draw.word()));
        let key = misspelt(&["intervall", "periode", &draw.word()]);
        let check = self.behind("[pool.health_check]", 1, "interval", &format!("{key} = \"3s\""));
        let key = misspelt(&["adress", "wieght", "host", &draw.word()]);
        let backend = self.behind("[[pool.backend]]", 3, "address", &format!("{key} = 5"));
        let key = misspelt(&["prefx", "host", "upstream", &draw.word()]);
        let route = self.behind("[[route]]", 1, "prefix", &format!("{key} = \"/{}\"", draw.word()));
        vec![backend, route, pool, listener, check, whole]
    }

    /// Values that are not what they must be.
    pub fn wrong_values(&self) -> Vec<BadFile> {
        let draw = &self.scene.draw;
        let port = draw.number(2000..9000);
        let no_address = [
            format!("address = \"127.0.0.1:{}\"", 90_000 + port),
            "address = \"127.0.0.1\"".to_owned(),
            format!("address = \"127.0.0.1:{}\"", draw.word()),
        ];
        let interval = format!("interval = {}", 1000 + port);
        vec![
            self.instead("[[pool.backend]]", 1, "address", &format!("address = {port}")),
            self.instead("[[pool.backend]]", 2, "address", draw.pick::<String>(&no_address)),
            self.instead("[pool.health_check]", 0, "interval", &interval),
            self.instead("[[route]]", 0, "hosts", &format!("hosts = \"{}.test\"", draw.word())),
            self.instead("[[listener]]", 0, "address", draw.pick::<String>(&no_address)),
        ]
    }

    /// What is no TOML.
    pub fn no_toml(&self) -> Vec<BadFile> {
        let word = self.scene.draw.word();
        let open = format!("prefix = \"/{word}");
        let bare = format!("name = {word}");
        let no_sign = format!("prefix \"/{word}\"");
        vec![
            self.instead(
                "[[route]]",
                1,
                "prefix",
                self.scene.draw.pick::<String>(&[open, no_sign]),
            ),
            self.instead("[[pool]]", 1, "name", &bare),
            self.instead("[[route]]", 2, "", "[[route]"),
            self.behind("[[route]]", 1, "prefix", &format!("prefix = \"/{word}\"")),
        ]
    }

    /// A pool without a backend: with an empty list, and with none.
    pub fn empty_lists(&self) -> Vec<BadFile> {
        let pool = self.line("[[pool]]", 1, "");
        let route = self.line("[[route]]", 0, "");
        let first = self.line("[[pool.backend]]", 2, "");
        let none = self.file.clone().without_lines(first..route);
        let list = none.clone().with_line_before(pool + 2, "backend = []");
        let name = none.at(pool + 1).to_owned();
        // Any line of the pool will do, and the place where its list would be.
        let bad = |file, end, wrong| BadFile { file, lines: Some(pool..=end), wrong };
        vec![
            bad(list, first + 1, "backend = []".to_owned()),
            bad(none, first, format!("{name}, and no [[pool.backend]]")),
        ]
    }

    /// A route to a pool that is not there.
    pub fn unknown_pools(&self) -> Vec<BadFile> {
        let line = format!("pool = \"{}\"", self.scene.draw.word());
        vec![
            self.instead("[[route]]", 1, "pool", &line),
            self.instead("[[route]]", 2, "pool", &line),
        ]
    }
}
