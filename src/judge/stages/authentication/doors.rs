//! The policies of a file, the routes that name them, and who may pass.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use jsonwebtoken::Algorithm;
use toml::Value;

use super::issuer::Issuer;
use super::users::User;
use crate::judge::config_file::{ConfigFile, text};
use crate::judge::diagnosis::Finding;
use crate::judge::draw::Draw;
use crate::judge::scene::Scene;

/// The field by which backends are told where the file does not say it.
pub const USER_HEADER: &str = "x-auth-user";

/// By how much clocks may differ where the file does not say it, in seconds.
const LEEWAY: i64 = 30;

/// How often backends are looked at: never, as far as these checks go.
const INTERVAL: Duration = Duration::from_secs(30);

/// A route with a policy.
#[derive(Clone, Debug)]
pub struct Door {
    /// The policy's name.
    pub policy: String,
    /// The beginning of the route's paths.
    pub prefix: String,
    /// The field by which backends are told who it is.
    pub field: String,
    /// The scheme of what opens it.
    pub scheme: &'static str,
}

/// A door that passwords open.
pub struct PasswordDoor {
    /// The route.
    pub door: Door,
    /// Who may pass. There is always one.
    pub users: Vec<User>,
}

/// A door that tokens open.
pub struct TokenDoor {
    /// The route.
    pub door: Door,
    /// Whose tokens.
    pub issuer: Issuer,
    /// By how much clocks may differ, in seconds.
    pub leeway: i64,
    said: bool,
}

/// All doors of a file, and a route without one.
pub struct Doors {
    /// Passwords, and the field that backends are told by where nothing is said.
    pub staff: PasswordDoor,
    /// Other passwords, and a field of its own.
    pub partners: PasswordDoor,
    /// Tokens that are signed with a secret, with a leeway of its own.
    pub web: TokenDoor,
    /// Tokens that are signed with a private key, and a field of its own.
    pub mobile: TokenDoor,
    /// The beginning of the paths that nobody guards.
    pub open: String,
    pool: String,
}

// === impl Doors ===

impl Doors {
    /// With names that nobody has written into a program. Of these users there are some more
    /// among the staff.
    ///
    /// # Errors
    ///
    /// No key can be made, which is inconclusive.
    pub fn drawn(draw: &Draw, more: Vec<User>) -> Result<Self, Finding> {
        let mut names: Vec<String> = Vec::new();
        let mut word = || loop {
            let word = draw.word();
            if !names.contains(&word) {
                names.push(word.clone());
                return word;
            }
        };
        let mut door = |scheme, field: Option<&str>| {
            let (policy, prefix) = (word(), format!("/{}", word()));
            let field = field.map_or_else(|| format!("x-{}-user", word()), str::to_owned);
            Door { policy, prefix, field, scheme }
        };
        let staff = door("Basic", Some(USER_HEADER));
        let partners = door("Basic", None);
        let web = door("Bearer", Some(USER_HEADER));
        let mobile = door("Bearer", None);
        // A hash takes its time here, too: these have the same password, and different names.
        let user = User::drawn(draw);
        let partner = User { name: format!("{}-{}", user.name, draw.word()), ..user.clone() };
        let users = std::iter::once(user).chain(more).collect();
        let leeway = i64::try_from(draw.number(10..20)).unwrap_or(10);
        Ok(Self {
            staff: PasswordDoor { door: staff, users },
            partners: PasswordDoor { door: partners, users: vec![partner] },
            web: TokenDoor { door: web, issuer: Issuer::with_secret(draw), leeway, said: true },
            mobile: TokenDoor {
                door: mobile,
                issuer: Issuer::with_key(draw)?,
                leeway: LEEWAY,
                said: false,
            },
            open: format!("/{}", draw.word()),
            pool: draw.word(),
        })
    }

    /// Writes the files that the file names, beside it.
    ///
    /// # Errors
    ///
    /// One can't be written, which is inconclusive.
    pub fn write_files(&self, scene: &Scene) -> Result<(), Finding> {
        for (name, content) in self.files() {
            scene.write_beside(&name, content.as_bytes())?;
        }
        Ok(())
    }

    /// The files that the file names.
    fn files(&self) -> Vec<(String, String)> {
        let users = |door: &PasswordDoor| {
            (door.file(), door.users.iter().map(User::line).collect::<String>())
        };
        let key = (self.mobile.file(), self.mobile.issuer.verifier.clone());
        vec![users(&self.staff), users(&self.partners), key]
    }

    /// The file, for files in this folder.
    pub fn file(&self, listen: SocketAddr, backends: &[SocketAddr], folder: &Path) -> ConfigFile {
        let mut file = ConfigFile::new().listener(listen);
        for door in [&self.staff, &self.partners] {
            let users = folder.join(door.file());
            file = door.door.table(file).table(
                &format!("[auth.{}.basic]", door.door.policy),
                [("file", text(users.display()))],
            );
        }
        for door in [&self.web, &self.mobile] {
            file = door
                .door
                .table(file)
                .table(&format!("[auth.{}.jwt]", door.door.policy), door.keys(folder));
        }
        file = file.pool(&self.pool, Some(INTERVAL), backends.iter().copied());
        let doors = [&self.staff.door, &self.partners.door, &self.web.door, &self.mobile.door];
        for door in doors {
            file =
                file.route(&[], Some(&door.prefix), &self.pool).key("auth", door.policy.as_str());
        }
        file.route(&[], None, &self.pool)
    }

    /// Commands that write the files that the file names, each in one line.
    pub fn files_by_hand(&self) -> Vec<String> {
        let command = |(name, content): (String, String)| {
            let words = ["printf", "%s\\n"].into_iter().chain(content.lines());
            format!("{} >{name}", shell_words::join(words))
        };
        self.files().into_iter().map(command).collect()
    }

    /// Commands that start a program with the same policies by hand.
    pub fn by_hand(&self, stage: &str) -> Vec<String> {
        let lab = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let file = self.file(lab(6188), &[lab(6190)], Path::new("$PWD"));
        let mut commands = vec!["pingora-lab backends".to_owned(), file.command("lab.toml")];
        commands.extend(self.files_by_hand());
        commands.push(format!("LAB_CONFIG=$PWD/lab.toml pingora-lab run {stage}"));
        commands
    }
}

// === impl Door ===

impl Door {
    /// The table of its policy.
    fn table(&self, file: ConfigFile) -> ConfigFile {
        let field = (self.field != USER_HEADER).then(|| ("user_header", text(&self.field)));
        file.table(&format!("[auth.{}]", self.policy), field)
    }
}

// === impl PasswordDoor ===

impl PasswordDoor {
    /// Somebody who may pass.
    pub fn user(&self) -> &User {
        &self.users[0]
    }

    fn file(&self) -> String {
        format!("{}.htpasswd", self.door.policy)
    }
}

// === impl TokenDoor ===

impl TokenDoor {
    fn file(&self) -> String {
        format!("{}.pem", self.door.policy)
    }

    fn keys(&self, folder: &Path) -> Vec<(&'static str, Value)> {
        let Issuer { name, audience, algorithm, verifier, .. } = &self.issuer;
        let list = |item: &str| Value::Array(vec![text(item)]);
        let key = match algorithm {
            Algorithm::HS256 => ("secret", text(verifier)),
            _ => ("public_key", text(folder.join(self.file()).display())),
        };
        let mut keys = vec![("algorithms", list(&format!("{algorithm:?}"))), key];
        keys.extend([("issuer", list(name)), ("audience", list(audience))]);
        if self.said {
            keys.push(("leeway", text(format!("{}s", self.leeway))));
        }
        keys
    }
}
