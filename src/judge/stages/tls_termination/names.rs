//! Each name gets its certificate, with those that vouch for it.

use super::setup::Setup;
use crate::judge::client::{Hello, NoTls, Shown, Trouble};
use crate::judge::diagnosis::{Diagnosis, Finding};
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;

/// Names, and which certificate of the file is for them.
struct Names {
    certificates: Vec<Vec<String>>,
    /// Asked for, the place of its certificate, and what it is that gives it that.
    asked: Vec<(String, usize, Because)>,
    /// That nobody has a certificate for.
    strangers: Vec<String>,
}

/// Why a name gets a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Because {
    /// It is its first name.
    Own,
    /// It is another of its names.
    Second,
    /// So it is, and there it is written with capitals.
    Capitals,
    /// It is just below its domain.
    Wildcard,
    /// It is its name, and there is one for the domain above as well.
    OwnBelowWildcard,
}

/// Everybody is shown what is theirs.
pub async fn certificate_by_name(scene: &Scene) -> Outcome {
    let names = Names::drawn(scene);
    let setup = Setup::start(scene, &names.certificates, &names.asked[0].0).await?;
    let mut shown = Vec::new();
    let mut order: Vec<_> = (0..names.asked.len()).collect();
    scene.draw.shuffle(&mut order);
    for place in order {
        let (name, wanted, because) = &names.asked[place];
        let secured = setup.secure(&Hello::to(name.clone())).await?;
        shown.push((name, *wanted, *because, secured.shown));
    }
    names.are_right(&setup, &shown)?;
    for (name, wanted, _, shown) in &shown {
        if let Err(error) = setup.certificates.vouch_for(&shown.chain, name) {
            let asked = format!("a chain that a client takes for {name}");
            return Err(names
                .found(&setup, "chain-incomplete", Some(name))
                .compared(asked, format!("{} certificate: {error}", shown.chain.len()))
                .with("count", shown.chain.len())
                .with("reason", error.to_string())
                .repeat(names.chain_by_hand(&setup, *wanted, name))
                .fail());
        }
    }
    names.nobody(&setup).await?;
    for name in &names.strangers {
        names.stranger(&setup, name).await?;
    }
    Ok(())
}

// === impl Because ===

impl Because {
    /// Those first of which a mistake says most.
    const ALL: [Self; 5] =
        [Self::Own, Self::OwnBelowWildcard, Self::Second, Self::Wildcard, Self::Capitals];
}

// === impl Names ===

impl Names {
    fn drawn(scene: &Scene) -> Self {
        let word = || scene.draw.word();
        let domain = || format!("{}.test", word());
        let capital = |name: &str| {
            let mut name = name.to_owned();
            name[..1].make_ascii_uppercase();
            name
        };
        let (first, second) = (domain(), domain());
        let (other, written_big) = (domain(), domain());
        let (above, below) = (domain(), domain());
        let own = [format!("{}.{above}", word()), format!("{}.{below}", word())];
        // Among those of a domain the narrow one stands once behind and once before.
        let certificates = vec![
            vec![first.clone()],
            vec![second.clone(), other.clone(), capital(&written_big)],
            vec![format!("*.{above}")],
            vec![own[0].clone()],
            vec![own[1].clone()],
            vec![format!("*.{below}")],
        ];
        let asked = vec![
            (second, 1, Because::Own),
            (first, 0, Because::Own),
            (other, 1, Because::Second),
            (written_big, 1, Because::Capitals),
            (format!("{}.{above}", word()), 2, Because::Wildcard),
            (own[0].clone(), 3, Because::OwnBelowWildcard),
            (own[1].clone(), 4, Because::OwnBelowWildcard),
            (format!("{}.{below}", word()), 5, Because::Wildcard),
        ];
        let strangers = vec![domain(), format!("{}.{}.{above}", word(), word()), below];
        Self { certificates, asked, strangers }
    }

    fn are_right(&self, setup: &Setup<'_>, all: &[(&String, usize, Because, Shown)]) -> Outcome {
        let place = |shown: &Shown| self.place(setup, shown);
        let wrong = |because| {
            let mut wrong =
                all.iter().filter(|(_, wanted, _, shown)| place(shown) != Some(*wanted));
            wrong.find(|(_, _, other, _)| *other == because)
        };
        // Those first that say most.
        let first = Because::ALL.into_iter().find_map(wrong);
        let Some((name, wanted, because, shown)) = first else { return Ok(()) };
        let got = place(shown);
        let id = match because {
            _ if all.iter().all(|(_, _, _, shown)| place(shown) == got) => {
                "one-certificate-for-all"
            }
            Because::OwnBelowWildcard if matches!(got, Some(2 | 5)) => "wildcard-before-exact",
            Because::Own | Because::OwnBelowWildcard => "wrong-certificate",
            Because::Second => "second-name-forgotten",
            Because::Wildcard => "wildcard-not-known",
            Because::Capitals => "case-of-a-name",
        };
        Err(self
            .found(setup, id, Some(name))
            .compared(self.of(Some(*wanted)), self.of(got))
            .with("wanted", self.of(Some(*wanted)))
            .with("shown", self.of(got))
            .fail())
    }

    /// Who says no name gets the first.
    async fn nobody(&self, setup: &Setup<'_>) -> Outcome {
        let found = |id| self.found(setup, id, None);
        match setup.client().secure(&Hello::to_nobody()).await {
            Ok(secured) if self.place(setup, &secured.shown) == Some(0) => Ok(()),
            Ok(secured) => {
                let shown = self.of(self.place(setup, &secured.shown));
                Err(found("default-not-first")
                    .compared(self.of(Some(0)), &shown)
                    .with("wanted", self.of(Some(0)))
                    .with("shown", shown)
                    .fail())
            }
            Err(Trouble::NoTls(why @ (NoTls::Alert(_) | NoTls::Ended))) => {
                Err(found("no-name-refused")
                    .compared(self.of(Some(0)), &why)
                    .with("wanted", self.of(Some(0)))
                    .with("reason", why.to_string())
                    .fail())
            }
            Err(trouble) => Err(setup.no_tls(&trouble, &Hello::to_nobody()).await),
        }
    }

    /// Who asks for a name that nobody has gets the first, or is told that there is none.
    async fn stranger(&self, setup: &Setup<'_>, name: &str) -> Outcome {
        let hello = Hello::to(name);
        let expected = format!("{}, or an alert", self.of(Some(0)));
        let found = |id, actual: String| -> Finding {
            self.found(setup, id, Some(name))
                .compared(&expected, &actual)
                .with("wanted", self.of(Some(0)))
                .with("shown", actual)
                .fail()
        };
        match setup.client().secure(&hello).await {
            Ok(secured) => match self.place(setup, &secured.shown) {
                Some(0) => Ok(()),
                Some(place) if self.is_of_its_domain(place, name) => {
                    Err(found("wildcard-too-wide", self.of(Some(place))))
                }
                other => Err(found("stranger-gets-another", self.of(other))),
            },
            Err(Trouble::NoTls(NoTls::Alert(_))) => Ok(()),
            Err(Trouble::NoTls(why @ NoTls::Ended)) => {
                Err(found("stranger-cut-off", why.to_string()))
            }
            Err(trouble) => Err(setup.no_tls(&trouble, &hello).await),
        }
    }

    /// Whether a certificate is for names just below a domain, and this name is of the domain:
    /// another one says nothing of how far a `*` reaches.
    fn is_of_its_domain(&self, place: usize, name: &str) -> bool {
        let names = self.certificates.get(place).into_iter().flatten();
        let mut domains = names.filter_map(|pattern| pattern.strip_prefix("*."));
        domains.any(|domain| {
            name.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        })
    }

    /// The place of a certificate in the file.
    fn place(&self, setup: &Setup<'_>, shown: &Shown) -> Option<usize> {
        let all = setup.certificates.all();
        all.iter().position(|issued| shown.chain.first() == Some(&issued.certificate))
    }

    /// The names of a certificate of the file.
    fn of(&self, place: Option<usize>) -> String {
        let names = place.and_then(|place| self.certificates.get(place));
        names.map_or_else(|| "?".to_owned(), |names| names.join(", "))
    }

    /// A file with one certificate more, and how many are shown.
    fn chain_by_hand(&self, setup: &Setup<'_>, place: usize, name: &str) -> Vec<String> {
        let file = |place: usize| {
            let names = &self.certificates[place % self.certificates.len()];
            format!("{}.pem", names[0].replace('*', "_"))
        };
        let show = format!(
            "openssl s_client -connect 127.0.0.1:6443 -servername {name} -showcerts </dev/null 2>/dev/null | grep -c BEGIN"
        );
        let mut commands = setup.by_hand(&[&show]);
        let more = format!("cat {} >>{}", file(place + 1), file(place));
        commands.insert(self.certificates.len(), more);
        commands
    }

    fn found(&self, setup: &Setup<'_>, id: &'static str, name: Option<&str>) -> Diagnosis {
        let asking = match name {
            Some(name) => format!("-servername {name}"),
            None => "-noservername".to_owned(),
        };
        let show = format!(
            "openssl s_client -connect 127.0.0.1:6443 {asking} </dev/null 2>/dev/null | openssl x509 -noout -ext subjectAltName"
        );
        let file = self.certificates.iter().map(|names| names.join(" ")).collect::<Vec<_>>();
        Diagnosis::new(id)
            .with("name", name.unwrap_or("–"))
            .with("file_has", file.join("; "))
            .repeat(setup.by_hand(&[&show]))
    }
}
