//! Certificates, a file that names them, and the program in front of two pools.

use std::net::SocketAddr;
use std::path::Path;

use super::ID;
use crate::backends::recording::{Act, RecordingBackend, Reply};
use crate::judge::certificates::{Certificates, Issued};
use crate::judge::client::{Answer, Client, Hello, Http2, Request, Secured, Trouble};
use crate::judge::config_file::ConfigFile;
use crate::judge::diagnosis::Finding;
use crate::judge::exchange::Exchange;
use crate::judge::running::Running;
use crate::judge::scene::Scene;

/// What it is on its usual port, so that a location need not name it.
pub const HTTPS: u16 = 443;

/// Where TLS is spoken when it is seen by hand.
const BY_HAND: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 6443);

/// Where there is no TLS when it is seen by hand.
pub const PLAIN: u16 = 6187;

/// Where clients are then sent to the usual port.
pub const TO_USUAL: u16 = 6186;

/// The program, with a listener for TLS, one without, and two that send clients on.
pub struct Setup<'a> {
    /// Of this check.
    pub scene: &'a Scene,
    /// The program; it listens for TLS where it is first of all.
    pub running: Running<'a>,
    /// In the order of the file.
    pub certificates: Certificates,
    /// Where there is no TLS.
    pub plain: SocketAddr,
    /// Where clients are sent to the port of the listener for TLS.
    pub away: SocketAddr,
    /// Where they are sent to the usual port, whoever listens there.
    pub away_to_usual: SocketAddr,
    /// That of the second pool; all others go to the first.
    pub second_host: String,
    pools: [Pool; 2],
}

struct Pool {
    name: String,
    backend: RecordingBackend,
}

/// How a client comes to the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Over HTTP/1.1, without TLS.
    Plain,
    /// Over HTTP/1.1 in TLS.
    Tls,
    /// Over HTTP/2 in TLS.
    Http2,
}

// === impl Setup ===

impl<'a> Setup<'a> {
    /// Starts it with certificates for these lists of names, of which one list has the
    /// name of the second pool.
    ///
    /// # Errors
    ///
    /// Why it does not listen.
    pub async fn start(
        scene: &'a Scene,
        names: &[Vec<String>],
        second_host: &str,
    ) -> Result<Self, Finding> {
        let pool = || -> Result<Pool, Finding> {
            let name = scene.draw.word();
            let backend = scene.backends_named(&name, 1)?.remove(0);
            backend.always(Act::Answer(Reply::ok("here")));
            Ok(Pool { name, backend })
        };
        let pools = [pool()?, pool()?];
        scene.plan(format!("certificates for {names:?}; {second_host} has a pool of its own"));
        let certificates = scene.certificates(names)?;
        let [plain, away, away_to_usual] = [(); 3].map(|()| scene.free_address());
        let [plain, away, away_to_usual] = [plain?, away?, away_to_usual?];
        let pairs: Vec<_> = certificates.all().iter().map(files).collect();
        let file = |listen: SocketAddr| {
            let file = ConfigFile::new()
                .listener(plain)
                .listener(listen)
                .certificates(pairs.iter().copied())
                .redirecting_listener(away, listen.port())
                .redirecting_listener(away_to_usual, HTTPS);
            with_pools(file, &pools, second_host, |pool| pool.backend.address())
        };
        let running = scene.start_configured(&[], &[], &file).await;
        let running = running.map_err(|finding| match finding.diagnosis().id {
            "good-file-refused" => {
                let commands = by_hand(names, &pools, second_host);
                finding.map(|found| found.repeat(commands))
            }
            _ => finding,
        })?;
        let second_host = second_host.to_owned();
        let setup =
            Self { scene, running, certificates, plain, away, away_to_usual, second_host, pools };
        setup.all_listen().await?;
        Ok(setup)
    }

    /// The same with one certificate, for one name of each pool; returns the names.
    ///
    /// # Errors
    ///
    /// Why it does not listen.
    pub async fn with_two_names(scene: &'a Scene) -> Result<(Self, [String; 2]), Finding> {
        let names = [scene.draw.word(), scene.draw.word()].map(|word| format!("{word}.test"));
        let setup = Self::start(scene, &[names.to_vec()], &names[1]).await?;
        Ok((setup, names))
    }

    async fn all_listen(&self) -> Result<(), Finding> {
        let all = self.running.listens_also(&[self.plain, self.away, self.away_to_usual]).await;
        all.map_err(|finding| match finding.diagnosis().id {
            "listens-elsewhere" => finding.map(|found| found.repeat(self.by_hand(&["ss -ltnp"]))),
            _ => finding,
        })
    }

    /// The backend of a pool.
    pub fn backend(&self, pool: usize) -> &RecordingBackend {
        &self.pools[pool].backend
    }

    /// A client of the listener for TLS.
    pub fn client(&self) -> Client {
        self.running.client()
    }

    /// A handshake.
    ///
    /// # Errors
    ///
    /// A finding that every check can come to.
    pub async fn secure(&self, hello: &Hello) -> Result<Secured, Finding> {
        let made = self.client().secure(hello).await;
        match made {
            Ok(secured) => Ok(secured),
            Err(trouble) => Err(self.no_tls(&trouble, hello).await),
        }
    }

    /// The finding for a handshake that came to nothing.
    pub async fn no_tls(&self, trouble: &Trouble, hello: &Hello) -> Finding {
        let name = hello.name.clone().unwrap_or_default();
        let found = self.running.trouble(trouble, &get(&name, "/")).await;
        found.map(|found| {
            let name = if name.is_empty() { "–".to_owned() } else { name };
            found.with("name", name).repeat(self.by_hand(&[&curl("https", "/", &self.second_host)]))
        })
    }

    /// Sends a request for this host in this way, while no other is under way.
    ///
    /// # Errors
    ///
    /// No connection came about.
    pub async fn exchange(
        &self,
        way: Way,
        host: &str,
        request: Request,
    ) -> Result<Exchange, Finding> {
        let hello = Hello::to(host);
        Ok(match way {
            Way::Plain => Exchange::of(self.scene, Client::new(self.plain), request).await,
            Way::Tls => {
                let mut secured = self.secure(&hello).await?;
                let sending = secured.connection.send(&request);
                Exchange::sent(self.scene, request.clone(), sending).await
            }
            Way::Http2 => {
                let http2 = self.http2(&hello.offering(&["h2"])).await?;
                let sending = http2.send(&request);
                Exchange::sent(self.scene, request.clone(), sending).await
            }
        })
    }

    /// A connection for HTTP/2.
    ///
    /// # Errors
    ///
    /// No connection came about.
    pub async fn http2(&self, hello: &Hello) -> Result<Http2, Finding> {
        let secured = self.secure(hello).await?;
        let http2 = Http2::over(secured, self.client().patience).await;
        match http2 {
            Ok(http2) => Ok(http2),
            Err(trouble) => Err(self.no_tls(&trouble, hello).await),
        }
    }

    /// A request over this connection is answered by the first pool's backend.
    ///
    /// # Errors
    ///
    /// It is not.
    pub async fn serves(&self, mut secured: Secured, host: &str) -> Result<(), Finding> {
        let request = get(host, &self.scene.draw.path());
        let sending = secured.connection.send(&request);
        let exchange = Exchange::sent(self.scene, request.clone(), sending).await;
        self.answered(&exchange).await.map(|_| ())
    }

    /// It was answered by a backend.
    ///
    /// # Errors
    ///
    /// It was not.
    pub async fn answered<'e>(&self, exchange: &'e Exchange) -> Result<&'e Answer, Finding> {
        let passed = exchange.through(self.scene, &self.running).await;
        let (_, answer) = passed.map_err(|finding| self.told(finding, &exchange.request))?;
        if answer.status == 200 {
            return Ok(answer);
        }
        let found = exchange.found(self.scene, "status-changed").compared(200, answer.status);
        Err(self.told(found.fail(), &exchange.request))
    }

    /// The finding, with commands that show the same over TLS.
    pub fn told(&self, finding: Finding, request: &Request) -> Finding {
        let commands = self.by_hand(&[&curl("https", &request.target, &host_of(request))]);
        finding.map(|found| found.repeat(commands))
    }

    /// Commands that make such certificates and such a file, run the program, and then these.
    pub fn by_hand(&self, then: &[&str]) -> Vec<String> {
        let names: Vec<_> = self.certificates.all().iter().map(|one| one.names.clone()).collect();
        let mut commands = by_hand(&names, &self.pools, &self.second_host);
        commands.extend(then.iter().map(|&one| one.to_owned()));
        commands
    }
}

/// GET for this host.
pub fn get(host: &str, target: &str) -> Request {
    Request::new("GET", target).header("Host", host)
}

/// The host that a request is for.
pub fn host_of(request: &Request) -> String {
    let named = |(name, _): &&(String, Vec<u8>)| name.eq_ignore_ascii_case("host");
    let host = request.headers.iter().find(named);
    host.map_or_else(String::new, |(_, value)| String::from_utf8_lossy(value).into_owned())
}

/// A command that asks for this at the program that was started by hand.
pub fn curl(scheme: &str, target: &str, host: &str) -> String {
    let port = if scheme == "https" { BY_HAND.port() } else { 6188 };
    let words = ["curl", "-ik", "--path-as-is", "--resolve"].map(str::to_owned).into_iter();
    let words = words
        .chain([format!("{host}:{port}:127.0.0.1"), format!("{scheme}://{host}:{port}{target}")]);
    shell_words::join(words)
}

/// The files of a certificate, as a configuration names them.
pub fn files(issued: &Issued) -> (&Path, &Path) {
    (&issued.certificate_file, &issued.key_file)
}

fn with_pools(
    file: ConfigFile,
    pools: &[Pool; 2],
    second_host: &str,
    address: impl Fn(&Pool) -> SocketAddr,
) -> ConfigFile {
    let [first, second] = pools;
    file.pool(&first.name, None, [address(first)])
        .pool(&second.name, None, [address(second)])
        .route(&[second_host], None, &second.name)
        .route(&[], None, &first.name)
}

fn by_hand(names: &[Vec<String>], pools: &[Pool; 2], second_host: &str) -> Vec<String> {
    let pairs = names.iter().map(|names| {
        let stem = names.first().map_or_else(String::new, |name| name.replace('*', "_"));
        (format!("{stem}.pem"), format!("{stem}.key"))
    });
    let pairs: Vec<_> = pairs.collect();
    let mut commands: Vec<_> = names
        .iter()
        .zip(&pairs)
        .map(|(names, (certificate, key))| openssl(names, certificate, key))
        .collect();
    let lab = |port: u16| SocketAddr::new(BY_HAND.ip(), port);
    let file = ConfigFile::new()
        .redirecting_listener(lab(6188), BY_HAND.port())
        .listener(lab(PLAIN))
        .redirecting_listener(lab(TO_USUAL), HTTPS)
        .listener(BY_HAND);
    let here = |name: &String| Path::new("$PWD").join(name);
    let pairs: Vec<_> =
        pairs.iter().map(|(certificate, key)| (here(certificate), here(key))).collect();
    let pairs = pairs.iter().map(|(certificate, key)| (certificate.as_path(), key.as_path()));
    let file = with_pools(file.certificates(pairs), pools, second_host, |pool| {
        lab(if pool.name == pools[0].name { 6190 } else { 6191 })
    });
    commands.extend([
        "pingora-lab backends".to_owned(),
        file.command("lab.toml"),
        format!("LAB_CONFIG=$PWD/lab.toml pingora-lab run {ID}"),
    ]);
    commands
}

/// A command that makes a certificate which stands for itself.
pub fn openssl(names: &[String], certificate: &str, key: &str) -> String {
    let subject = names.first().map_or("", String::as_str);
    let alternative = names.iter().map(|name| format!("DNS:{name}")).collect::<Vec<_>>().join(",");
    let words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt"]
        .into_iter()
        .chain(["ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj"])
        .map(str::to_owned)
        .chain([format!("/CN={subject}"), "-addext".to_owned()])
        .chain([format!("subjectAltName={alternative}"), "-keyout".to_owned(), key.to_owned()])
        .chain(["-out".to_owned(), certificate.to_owned()]);
    shell_words::join(words)
}
