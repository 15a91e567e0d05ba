//! Requests one after the other, over one connection as long as it lasts.

use super::{Answer, Client, Connection, Request, Trouble};

/// A client that uses its connection again where the server lets it.
#[derive(Debug)]
pub struct Kept {
    client: Client,
    connection: Option<Connection>,
}

// === impl Kept ===

impl Kept {
    /// Without a connection yet.
    pub fn new(client: Client) -> Self {
        Self { client, connection: None }
    }

    /// Sends a request, over a new connection where the last is not reusable: whoever
    /// closes it after each answer may.
    ///
    /// # Errors
    ///
    /// What there was instead of a complete answer.
    pub async fn send(&mut self, request: &Request) -> Result<Answer, Trouble> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.client.connect().await?,
        };
        let answer = connection.send(request).await?;
        self.connection = Some(connection).filter(|_| answer.reusable);
        Ok(answer)
    }
}
