//! What a service needs of the server before its first connection.

use super::Postgres;
use super::errors::failure;
use crate::Failure;

/// The role under which a service works.
pub(crate) fn role(service: &str) -> String {
    format!("banyan_{service}")
}

/// Makes the schema and the role of a service where they are missing, and refuses a server that
/// would lose what it has confirmed.
pub(crate) fn make_schema(url: &str, service: &str, allow_fsync_off: bool) -> Result<(), Failure> {
    let mut admin = Postgres::administrator(url)?;
    admin.alone(async |client| {
        let fsync: String = client.query_one("SELECT current_setting('fsync')", &[]).await?.try_get(0)?;
        if fsync == "off" && !allow_fsync_off {
            return Ok(Err(Failure::Database(
                "PostgreSQL runs with fsync=off and would lose confirmed orders in a power cut; set fsync=on".into(),
            )));
        }
        let role = role(service);
        // Roles belong to the whole cluster, so two databases may make the same one at once.
        let make_role = format!(
            "DO $$ BEGIN
                 IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN CREATE ROLE {role} NOLOGIN; END IF;
             EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;"
        );
        client.batch_execute(&make_role).await?;
        let may = "SELECT pg_has_role(current_user, $1, 'MEMBER')";
        if !client.query_one(may, &[&role]).await?.try_get::<_, bool>(0)? {
            client.batch_execute(&format!("GRANT {role} TO CURRENT_USER")).await?;
        }
        // Under a lock, for IF NOT EXISTS alone does not keep two processes from colliding.
        client
            .batch_execute(&format!(
                "BEGIN; SELECT pg_advisory_xact_lock(hashtextextended('schema {service}', 0));
                 CREATE SCHEMA IF NOT EXISTS {service} AUTHORIZATION {role}; COMMIT"
            ))
            .await?;
        Ok(Ok(()))
    })?
}

impl Postgres {
    /// Runs something on the bare client, within the time of a trip.
    pub(crate) fn alone<T>(
        &mut self,
        work: impl AsyncFnOnce(&tokio_postgres::Client) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, Failure> {
        self.connect()?;
        let Some(connected) = &self.connected else { return Err(super::errors::closed()) };
        let done = super::limited(async { work(&connected.client).await.map_err(|error| failure(&error)) });
        self.runtime.block_on(done)
    }
}
