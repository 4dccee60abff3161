//! The program where it speaks TLS, and where it asks others that do.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use db::{Context, Trace};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;
use web::{Client, NoAnswer, Trust};

use crate::binary::{Server, ask, banyan, run};
use crate::serving::addresses;

/// An authority, and a pair that it gave to 127.0.0.1.
pub(crate) struct Files {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Files {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        // Else it has the name of those to whom it gives a certificate, which then seem to be their own authority.
        params.distinguished_name.push(DnType::CommonName, "an authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let folder = tempfile::tempdir().expect("a folder");
        let own = params.self_signed(&key).expect("a certificate");
        fs::write(folder.path().join("authority.pem"), own.pem()).expect("a file");
        let files = Self { folder, issuer: Issuer::new(params, key) };
        files.give("127.0.0.1");
        files
    }

    fn give(&self, name: &str) {
        let params = CertificateParams::new([name.to_owned()]).expect("a name");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        fs::write(self.path("certificate.pem"), certificate.pem()).expect("a file");
        fs::write(self.path("key.pem"), key.serialize_pem()).expect("a file");
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The settings of a server with the pair, which trusts the authority.
    fn settings(&self, command: &mut Command) {
        command.env("BANYAN_HTTP__TLS__CERTIFICATE", self.path("certificate.pem"));
        command.env("BANYAN_HTTP__TLS__KEY", self.path("key.pem"));
        command.env("BANYAN_CA_FILE", self.path("authority.pem"));
    }
}

/// Asks over TLS, trusting the authority.
fn over_tls(files: &Files, address: &str, path: &str, body: Option<&Value>) -> Result<Value, NoAnswer> {
    let trust = Trust::of_file(&files.path("authority.pem")).expect("a certificate");
    let client = Client::trusting(&format!("https://{address}"), &trust).expect("an address");
    let by = Context::system("test", Trace { trace_id: 1, span_id: 2, is_sampled: true });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        match body {
            Some(body) => client.put_json(path, body, &by, Duration::from_secs(30)).await,
            None => client.get_json(path, &by, Duration::from_secs(30)).await,
        }
    })
}

pub(crate) fn served(files: &Files, words: &[&str], data: &Path, more: &[(String, String)]) -> Server {
    let mut command = banyan(words);
    command.arg("--data").arg(data).envs(more.iter().cloned());
    files.settings(&mut command);
    Server::start(&mut command)
}

/// What a program measures that speaks TLS.
pub(crate) fn page() -> String {
    let (files, folder) = (Files::new(), tempfile::tempdir().expect("a folder"));
    let server = served(&files, &["up", "--listen", "127.0.0.1:0"], folder.path(), &[]);
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--fail", "--cacert"]).arg(files.path("authority.pem"));
    let output = curl.arg(format!("https://{}/metrics", server.address)).output().expect("there is curl");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("a page is text")
}

#[test]
fn services_apart_bring_an_order_to_its_end_over_tls_and_the_verbs_ask_them() {
    let (files, folder, all) = (Files::new(), tempfile::tempdir().expect("a folder"), addresses());
    let urls: Vec<_> = [("INVENTORY", 0), ("ORDERS", 1), ("PAYMENTS", 0)]
        .map(|(name, place)| (format!("BANYAN_{name}__URL"), format!("https://{}", all[place])))
        .into();
    let one = ["serve", "inventory", "payments", "--listen", &all[0]];
    let two = ["serve", "orders", "--listen", &all[1]];
    let _servers = [served(&files, &one, folder.path(), &urls), served(&files, &two, folder.path(), &urls)];
    let movement = json!({"type": "receive", "sku": "A-1", "warehouse": "main", "quantity": 5});
    over_tls(&files, &all[0], "/v1/stock-movements/m-1", Some(&movement)).expect("it is taken in");
    let line = json!({"sku": "A-1", "quantity": 1, "unit_price": {"amount": 500, "currency": "GBP"}});
    let order = json!({"lines": [line], "payment": {"method": "pm_card_visa"}});
    over_tls(&files, &all[1], "/v1/orders/o-1", Some(&order)).expect("it is placed");
    let status = || over_tls(&files, &all[1], "/v1/orders/o-1", None).expect("it is there")["status"].clone();
    testkit::eventually("the order ends", || status() == "confirmed");

    let server = format!("https://{}", all[0]);
    let table = files.path("stock.csv");
    fs::write(&table, "sku,warehouse,counted\nB-1,main,7\n").expect("a file");
    let table = table.to_str().expect("a path of letters");
    let data = folder.path().to_str().expect("a path of letters");
    for (words, told) in [
        (&["import", "stock", table, "--server", &server][..], "1 counted now"),
        (&["export", "stock", "--server", &server], "B-1"),
        (&["events", "--server", &server], "StockCounted"),
        (&["keys", "list", "--server", &server], "items"),
        // Where they listen stands in the locks of the folder.
        (&["audit", "--data", data], "1 orders (1 confirmed)"),
    ] {
        let (code, out, said) = run(banyan(words).env("BANYAN_CA_FILE", files.path("authority.pem")));
        assert!(code == 0 && out.contains(told), "{words:?}: {code} {out} {said}");
        let (code, _, said) = run(&mut banyan(words));
        assert!(code == 1 && said.contains("is not trusted") && said.contains("BANYAN_CA_FILE"), "{words:?}: {said}");
    }
}

#[test]
fn a_feed_from_whom_nobody_trusts_is_not_read_and_the_log_says_why_once() {
    let (files, other) = (Files::new(), Files::new());
    let (folder, all) = (tempfile::tempdir().expect("a folder"), addresses());
    let urls: Vec<_> = ["INVENTORY", "PAYMENTS", "ORDERS"]
        .map(|name| (format!("BANYAN_{name}__URL"), format!("https://{}", all[usize::from(name == "ORDERS")])))
        .into();
    let _inventory = served(&files, &["serve", "inventory", "payments", "--listen", &all[0]], folder.path(), &urls);
    let mut orders = banyan(&["serve", "orders", "--listen", &all[1], "--data"]);
    orders.arg(folder.path()).envs(urls).env("BANYAN_CA_FILE", other.path("authority.pem"));
    let orders = Server::start(&mut orders);
    let told = || orders.said().matches("nobody whom this program trusts").count();
    testkit::eventually("the log says why", || told() >= 2);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(told(), 2, "once for each of the two that it reads: {}", orders.said());
}

#[test]
fn a_new_certificate_is_served_without_a_restart_and_a_request_without_tls_is_told() {
    let (files, folder) = (Files::new(), tempfile::tempdir().expect("a folder"));
    let server = served(&files, &["up", "--listen", "127.0.0.1:0"], folder.path(), &[]);
    let address = server.address.to_string();
    over_tls(&files, &address, "/health/ready", None).expect("it is ready");
    let (status, told) = ask(server.address, "GET", "/health/ready", "", &Value::Null);
    assert!(status == 400 && told["detail"].as_str().is_some_and(|told| told.contains("https://")), "{told}");

    files.give("localhost");
    let by_name = format!("localhost:{}", server.address.port());
    testkit::eventually("the new one is served", || over_tls(&files, &by_name, "/health/ready", None).is_ok());
    let fault = over_tls(&files, &address, "/health/ready", None).expect_err("it is for another name");
    assert!(matches!(&fault, NoAnswer::NotTrusted(cause) if cause.contains("localhost")), "{fault}");

    fs::write(files.path("key.pem"), "nonsense").expect("a file");
    let told = "The new certificate cannot be used; the one before is served";
    testkit::eventually("the log says that it is broken", || server.said().contains(told));
    over_tls(&files, &by_name, "/health/ready", None).expect("the one before is served");
    assert_eq!(server.said().matches(told).count(), 1, "{}", server.said());
}

#[test]
fn a_pair_that_cannot_be_served_stops_the_start_and_names_its_setting() {
    let (files, folder) = (Files::new(), tempfile::tempdir().expect("a folder"));
    let data = folder.path().join("data");
    let up = |more: &[(&str, &Path)]| {
        let mut up = banyan(&["up", "--listen", "127.0.0.1:0", "--data"]);
        run(up.arg(&data).envs(more.iter().copied()))
    };
    let (certificate, key) = (files.path("certificate.pem"), files.path("key.pem"));
    let (file, of_key) = ("BANYAN_HTTP__TLS__CERTIFICATE", "BANYAN_HTTP__TLS__KEY");
    for (more, told) in [
        (&[(file, certificate.as_path())][..], "http.tls.key = \"\" (the default) contradict each other"),
        (&[(file, &key), (of_key, &key)], "setting http.tls.certificate"),
        (&[(file, &certificate), (of_key, &certificate)], "setting http.tls.key"),
        (&[("BANYAN_CA_FILE", &key)], "setting ca_file"),
    ] {
        let (code, _, said) = up(more);
        assert_eq!((code, said.lines().count()), (2, 1), "{said}");
        assert!(said.contains(told), "{told}: {said}");
    }
    assert!(!data.exists(), "nothing was made");
}

#[test]
fn the_doctor_looks_at_the_certificate() {
    let (files, folder) = (Files::new(), tempfile::tempdir().expect("a folder"));
    let port = TcpListener::bind("127.0.0.1:0").expect("a port is free").local_addr().expect("an address").port();
    let doctor = |listen: &str| {
        let mut doctor = banyan(&["doctor", "--listen", listen, "--data"]);
        doctor.arg(folder.path());
        files.settings(&mut doctor);
        let (_, out, _) = run(&mut doctor);
        out.lines().find(|line| line.contains("  certificate ")).expect("it is looked at").to_owned()
    };
    let line = doctor(&format!("127.0.0.1:{port}"));
    assert!(line.starts_with("ok ") && line.contains("for 127.0.0.1, until 4096-01-01"), "{line}");
    let line = doctor(&format!("127.0.0.2:{port}"));
    assert!(line.starts_with("warn ") && line.contains("127.0.0.2 is none of its addresses"), "{line}");

    let listen = format!("127.0.0.1:{port}");
    let _server = served(&files, &["up", "--listen", &listen], folder.path(), &[]);
    let mut doctor = banyan(&["doctor", "--listen", &listen, "--data"]);
    files.settings(doctor.arg(folder.path()));
    let (_, out, _) = run(&mut doctor);
    assert!(out.contains("a Banyan is running"), "{out}");
}
