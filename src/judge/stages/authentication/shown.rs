//! What comes of a credential that is shown at a door.

use super::doors::{Door, PasswordDoor, TokenDoor};
use super::house::House;
use crate::judge::client::Answer;
use crate::judge::diagnosis::Finding;
use crate::judge::exchange::Exchange;
use crate::judge::stage::Outcome;

/// A credential that opens nothing, and what it is called if it does.
pub struct Bad {
    /// The diagnosis.
    pub id: &'static str,
    /// What is wrong with it, in the notation of headers and tokens: `"alg": "nOnE"`.
    pub what: String,
    /// The `Authorization` field.
    pub credential: String,
}

// === impl Bad ===

impl Bad {
    /// A token with something wrong.
    pub fn token(id: &'static str, what: impl Into<String>, token: &str) -> Self {
        Self { id, what: what.into(), credential: format!("Bearer {token}") }
    }
}

impl House<'_> {
    /// Somebody with a right password is let in; so the door is one.
    ///
    /// # Errors
    ///
    /// It is not.
    pub async fn password_opens(&self, door: &PasswordDoor) -> Outcome {
        let credential = door.user().credential();
        self.opens(&door.door, &credential, "good-password-refused", "Basic").await.map(|_| ())
    }

    /// Somebody with a right token is let in; so the door is one.
    ///
    /// # Errors
    ///
    /// It is not.
    pub async fn token_opens(&self, door: &TokenDoor) -> Outcome {
        let credential = format!("Bearer {}", door.issuer.token(&self.scene.draw.word())?);
        let what = format!("{:?}", door.issuer.algorithm);
        self.opens(&door.door, &credential, "good-token-refused", &what).await.map(|_| ())
    }

    /// A credential opens a door.
    ///
    /// # Errors
    ///
    /// It does not, which is called so; or what comes of every request.
    pub async fn opens(
        &self,
        door: &Door,
        credential: &str,
        id: &'static str,
        what: &str,
    ) -> Result<Exchange, Finding> {
        let exchange = self.show(door, credential).await;
        if let ([], Ok(answer)) = (exchange.received.as_slice(), &exchange.answer)
            && answer.status != 501
        {
            let expected = format!("{what}: 200 from the backend");
            return Err(self
                .found(id, door, &exchange)
                .compared(expected, answer.status)
                .with("sent", what)
                .fail());
        }
        exchange.through(self.scene, &self.running).await?;
        Ok(exchange)
    }

    /// The backend was told that it is this user, and was not given the credential.
    ///
    /// # Errors
    ///
    /// It was not, or it was.
    pub fn told(&self, door: &Door, exchange: &Exchange, user: &str) -> Outcome {
        let Some(received) = exchange.received.first() else { return Ok(()) };
        let told = received.values(&door.field);
        if told != [user] {
            let id = if told.is_empty() { "identity-missing" } else { "identity-wrong" };
            let actual = match told.is_empty() {
                true => format!("no {}", door.field),
                false => format!("{}: {}", door.field, told.join(" | ")),
            };
            return Err(self
                .found(id, door, exchange)
                .compared(format!("{}: {user}", door.field), &actual)
                .with("user", user)
                .with("told", actual)
                .fail());
        }
        if received.values("authorization").is_empty() {
            return Ok(());
        }
        let found = self.found("credential-passed-on", door, exchange);
        Err(found.compared("no Authorization at the backend", "the client's").fail())
    }

    /// These do not open the door: each is answered 401, and told how to do better.
    ///
    /// # Errors
    ///
    /// One does, or is answered otherwise.
    pub async fn stays_shut(&self, door: &Door, bad: Vec<Bad>) -> Outcome {
        for Bad { id, what, credential } in bad {
            let exchange = self.show(door, &credential).await;
            let answer = self.answered(&exchange).await?;
            if answer.status == 200 {
                let expected = format!("{what}: 401");
                let found = self.found(id, door, &exchange).compared(expected, answer.status);
                return Err(found.with("sent", what).fail());
            }
            self.refused(door, &exchange, answer, &what)?;
        }
        Ok(())
    }

    /// The answer to a request that was to be refused, whoever heard of it.
    ///
    /// # Errors
    ///
    /// There is none.
    pub async fn answered<'b>(&self, exchange: &'b Exchange) -> Result<&'b Answer, Finding> {
        match &exchange.answer {
            Ok(answer) => Ok(answer),
            Err(trouble) => Err(self.running.trouble(trouble, &exchange.request).await),
        }
    }

    /// 401 (RFC 9110, section 15.5.2), with a challenge of the door's scheme.
    ///
    /// # Errors
    ///
    /// How it was answered instead.
    pub fn refused(
        &self,
        door: &Door,
        exchange: &Exchange,
        answer: &Answer,
        what: &str,
    ) -> Outcome {
        let fail = |id: &'static str, expected: String, actual: String| {
            let found = self.found(id, door, exchange).compared(expected, &actual);
            Err(found.with("sent", what).with("challenge", actual).fail())
        };
        if answer.status != 401 {
            return fail("refused-otherwise", format!("{what}: 401"), answer.status.to_string());
        }
        let challenges = answer.values("www-authenticate");
        let expected = match door.scheme {
            "Basic" => "WWW-Authenticate: Basic realm=\"…\"",
            _ => "WWW-Authenticate: Bearer",
        };
        if challenges.is_empty() {
            let none = "no WWW-Authenticate".to_owned();
            return fail("challenge-missing", expected.to_owned(), none);
        }
        if challenges.iter().any(|challenge| is_of(door, challenge)) {
            return Ok(());
        }
        let actual = format!("WWW-Authenticate: {}", challenges.join(" | "));
        fail("challenge-wrong", expected.to_owned(), actual)
    }
}

/// Whether a challenge asks for what opens the door. `Basic` must name a realm (RFC 7617,
/// section 2), `Bearer` may (RFC 6750, section 3).
fn is_of(door: &Door, challenge: &str) -> bool {
    let (scheme, rest) = challenge.split_once(' ').unwrap_or((challenge, ""));
    let rest = rest.to_ascii_lowercase();
    scheme.eq_ignore_ascii_case(door.scheme) && (door.scheme != "Basic" || rest.contains("realm="))
}
