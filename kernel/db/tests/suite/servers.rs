//! Which server is spoken to where several are named, and how it is spoken to.

use std::fs;
use std::path::{Path, PathBuf};

use db::{Database, Failure, Location, Refused};
use rcgen::{CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use testkit::{Frozen, Postgres, eventually};
use world::World;

use crate::tally::{MIGRATIONS, Tallies, add, open, options, value, wait};

/// An authority, and what it gives.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    folder: TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { issuer: Issuer::new(params, key), pem, folder: tempfile::tempdir().expect("a folder") }
    }

    /// A certificate for a name, and its key.
    fn gives(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
        params.distinguished_name.push(DnType::CommonName, name);
        (params.signed_by(&key, &self.issuer).expect("a certificate").pem(), key.serialize_pem())
    }

    /// A file with a text.
    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).expect("the folder takes a file");
        path
    }
}

/// Puts a text into a file of the server that nobody else may read.
fn put(server: &Postgres, file: &str, text: &str) {
    let rows = format!("COPY (SELECT unnest(string_to_array('{text}', E'\\n'))) TO PROGRAM");
    server.sql(&here(server), &format!("{rows} 'umask 077; cat > {file}'"));
}

/// Lets the server speak TLS from now on, with a certificate for a name.
fn speaks_tls(server: &Postgres, authority: &Authority, name: &str) {
    let (certificate, key) = authority.gives(name);
    put(server, "server.crt", &certificate);
    put(server, "server.key", &key);
    put(server, "authorities.crt", &authority.pem);
    for setting in ["ssl = on", "ssl_ca_file = 'authorities.crt'"] {
        server.sql(&here(server), &format!("ALTER SYSTEM SET {setting}"));
    }
    server.stop();
    server.start();
}

/// Whether connections with this URL speak TLS; or why there are none.
fn is_protected(server: &Postgres, url: &str) -> Result<bool, String> {
    let location = Location::Postgres(url.to_owned());
    let opened = Database::open("tally", location, options(), World::real(), MIGRATIONS);
    let database = opened.map_err(|failure| failure.to_string())?;
    assert_eq!(value(&database, "a"), 0, "it is connected");
    let asked = "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
                 WHERE application_name = 'banyan tally' ORDER BY backend_start DESC LIMIT 1";
    Ok(server.sql(&here(server), asked) == "t")
}

/// How the server is reached from this machine, whomever else it lets in.
fn here(server: &Postgres) -> String {
    format!("host={} port={} user=postgres dbname=postgres", server.socket_folder().display(), server.port())
}

#[test]
fn tls_is_spoken_as_far_as_a_url_says() {
    let server = Postgres::own();
    let url = server.database();
    let says = |parameters: &str| is_protected(&server, &format!("{url}?{parameters}"));
    assert_eq!((is_protected(&server, &url), says("sslmode=prefer")), (Ok(false), Ok(false)), "it speaks none");
    assert!(says("sslmode=require").expect_err("it speaks none").contains("TLS"));

    let (authority, stranger) = (Authority::new(), Authority::new());
    speaks_tls(&server, &authority, "db.example");
    let trusts = |mode: &str, authority: &Authority| {
        let file = authority.file("authority.pem", &authority.pem);
        says(&format!("sslmode={mode}&sslrootcert={}", file.display()))
    };
    for (parameters, is_protected) in
        [("sslmode=disable", false), ("", false), ("sslmode=prefer", true), ("sslmode=require", true)]
    {
        assert_eq!(says(parameters), Ok(is_protected), "{parameters}");
    }
    assert_eq!(trusts("verify-ca", &authority), Ok(true), "for whichever name");
    assert_eq!(trusts("require", &authority), Ok(true), "the same");
    for mode in ["verify-ca", "require", "verify-full"] {
        let refused = trusts(mode, &stranger).expect_err("nobody trusts it");
        assert!(refused.contains("as in sslrootcert=authority.pem"), "{mode}: {refused}");
    }
    let refused = trusts("verify-full", &authority).expect_err("it is for another name");
    assert!(refused.contains("is for other names"), "{refused}");
    assert!(says("sslmode=verify-full").expect_err("the system knows it not").contains("as in sslrootcert"));

    speaks_tls(&server, &authority, "127.0.0.1");
    assert_eq!(trusts("verify-full", &authority), Ok(true));

    // Who asks has to show a certificate too.
    put(&server, "pg_hba.conf", "local all all trust\nhostssl all all 127.0.0.1/32 trust clientcert=verify-ca");
    server.stop();
    server.start();
    assert!(trusts("verify-full", &authority).is_err(), "it shows none");
    assert!(is_protected(&server, &url).expect_err("no TLS is refused").contains("no encryption"));
    let (certificate, key) = authority.gives("banyan");
    let (certificate, key) = (authority.file("own.pem", &certificate), authority.file("own.key", &key));
    let shows = |path: &Path| path.display().to_string();
    let own = format!("sslmode=require&sslcert={}&sslkey={}", shows(&certificate), shows(&key));
    assert_eq!(says(&own), Ok(true));
}

#[test]
fn who_names_two_servers_works_on_with_the_one_that_has_taken_over() {
    let (primary, url) = (Postgres::own(), Postgres::url);
    let database = primary.database();
    let name = database.rsplit('/').next().expect("a name");
    let standby = primary.standby();
    let named = |servers: [&Postgres; 2]| {
        let [first, second] = servers.map(|server| format!("127.0.0.1:{}", server.port()));
        Location::Postgres(format!("postgres://postgres@{first},{second}/{name}"))
    };
    // The standby is named first: it cannot be written to, and is passed over.
    let running = open(named([&standby, &primary]), options()).start();
    assert!(wait(running.desk.ask(add("a", 1))).is_ok());
    let place = "SELECT count(*) FROM tally.tally WHERE name = 'a'";
    eventually("the standby has followed", || {
        standby.sql(&url(&standby, name), "SELECT to_regclass('tally.tally') IS NOT NULL") == "t"
            && standby.sql(&url(&standby, name), place) == "1"
    });

    primary.kill();
    let refused = wait(running.desk.ask(add("a", 1))).expect_err("nobody can take it");
    assert!(matches!(refused, Refused::Failed(Failure::Unavailable(_)) | Refused::OutcomeUnknown), "{refused:?}");
    standby.sql(&url(&standby, "postgres"), "SELECT pg_promote()");
    eventually("what is asked is done again", || wait(running.desk.ask(add("a", 1))).is_ok());
    assert!(value(&running.database, "a") >= 2);
}

#[test]
fn a_server_that_is_frozen_is_passed_over() {
    let (frozen, other) = (Postgres::own(), Postgres::own());
    let database = other.database();
    let name = database.rsplit('/').next().expect("a name");
    let url = format!("postgres://postgres@127.0.0.1:{},127.0.0.1:{}/{name}", frozen.port(), other.port());
    let held = Frozen::process(frozen.process().expect("it runs"));
    let Tallies { database, .. } = open(Location::Postgres(url), options());
    assert_eq!(value(&database, "a"), 0);
    held.thaw();
}
