//! What wins over what, and what is refused with which words.

use serde::Deserialize;

use crate::{Field, Kind, Secret, Section, Settings, SettingsError, check_reference, reference};

/// What an operator may choose in these tests.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Orders {
    hold_secs: u32,
    database_url: Option<Secret>,
    ratio: f64,
    ship_on_commit: bool,
    markets: Vec<String>,
    mode: Mode,
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    Fast,
    Safe,
}

impl Default for Orders {
    fn default() -> Self {
        let markets = vec!["gb".to_owned(), "fr".to_owned()];
        Self { hold_secs: 900, database_url: None, ratio: 0.5, ship_on_commit: true, markets, mode: Mode::Safe }
    }
}

const fn field(name: &'static str, kind: Kind, default: &'static str) -> Field {
    Field { name, kind, default, meaning: "It means something." }
}

const ORDERS: &[Field] = &[
    field("hold_secs", Kind::Whole, "900"),
    field("database_url", Kind::Secret, ""),
    field("ratio", Kind::Decimal, "0.5"),
    field("ship_on_commit", Kind::Flag, "true"),
    field("markets", Kind::List, "gb,fr"),
    field("mode", Kind::Text, "safe"),
];

const SECTIONS: &[Section] = &[
    Section { name: "", meaning: "All of it.", fields: &[field("database_url", Kind::Secret, "")] },
    Section { name: "orders", meaning: "Orders.", fields: ORDERS },
];

fn merge(file: &str, environment: &[(&str, &str)]) -> Result<Orders, SettingsError> {
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let file = (!file.is_empty()).then_some(("banyan.toml", file));
    Settings::merge(SECTIONS, file, environment)?.section("orders")
}

fn refusal(file: &str, environment: &[(&str, &str)]) -> String {
    let message = merge(file, environment).unwrap_err().to_string();
    assert!(!message.contains('\n'), "one line: {message}");
    message
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_default() {
    let file = "[orders]\nhold_secs = 300\nmode = 'fast'\n";
    let orders = merge(file, &[("BANYAN_ORDERS__HOLD_SECS", "600"), ("HOME", "/root")]).unwrap();
    assert_eq!((orders.hold_secs, orders.mode, orders.ship_on_commit), (600, Mode::Fast, true));
}

#[test]
fn a_number_may_be_written_as_toml_has_it() {
    let orders = merge("[orders]\nhold_secs = 1_000\nratio = 1_0.5e1", &[]).unwrap();
    assert!(orders.hold_secs == 1000 && (orders.ratio - 105.0).abs() < f64::EPSILON);
    assert_eq!(merge("orders.hold_secs = 0x10", &[]).unwrap().hold_secs, 16);
}

#[test]
fn a_variable_is_read_as_its_setting_has_it() {
    let orders = merge(
        "",
        &[
            ("BANYAN_ORDERS__RATIO", "2"),
            ("BANYAN_ORDERS__SHIP_ON_COMMIT", "false"),
            ("BANYAN_ORDERS__MARKETS", "de, at"),
            ("BANYAN_ORDERS__MODE", "fast"),
            ("BANYAN_ORDERS__DATABASE_URL", "12345"),
        ],
    );
    let orders = orders.unwrap();
    assert!((orders.ratio - 2.0).abs() < f64::EPSILON && !orders.ship_on_commit);
    assert_eq!((orders.markets, orders.mode), (vec!["de".to_owned(), "at".to_owned()], Mode::Fast));
    assert_eq!(orders.database_url.unwrap().expose(), "12345");
}

#[test]
fn the_settings_of_the_program_stand_before_the_first_section() {
    #[derive(Deserialize)]
    struct Program {
        database_url: Option<Secret>,
    }
    let file = Some(("banyan.toml", "database_url = 'sqlite:'\n[orders]\n"));
    let settings = Settings::merge(SECTIONS, file, []).unwrap();
    assert_eq!(settings.section::<Program>("").unwrap().database_url, Some(Secret::new("sqlite:")));
    assert_eq!(settings.section::<Orders>("orders").unwrap().database_url, None);
}

#[test]
fn a_bad_value_is_named_with_its_place_and_what_would_be_right() {
    assert_eq!(
        refusal("\n[orders]\n# x\nhold_secs = 'soon'", &[]),
        "setting orders.hold_secs = \"soon\" (banyan.toml line 4) is refused: it takes a whole number, by default 900"
    );
    assert_eq!(
        refusal("", &[("BANYAN_ORDERS__SHIP_ON_COMMIT", "yes")]),
        "setting orders.ship_on_commit = \"yes\" (variable BANYAN_ORDERS__SHIP_ON_COMMIT) is refused: \
         it takes true or false, by default true"
    );
    assert_eq!(
        refusal("orders.mode = 'quick'", &[]),
        "setting orders.mode = \"quick\" (banyan.toml line 1) is refused: \
         unknown variant `quick`, expected `fast` or `safe`; it takes a text, by default safe"
    );
    let negative = refusal("[orders]\nhold_secs = -1", &[]);
    assert!(negative.starts_with("setting orders.hold_secs = -1 (banyan.toml line 2) is refused: "), "{negative}");
    for kind in ["[orders]\nhold_secs = 99999999999999999999", "[orders]\nratio = inf", "[orders]\nmarkets = [1]"] {
        refusal(kind, &[]);
    }
}

#[test]
fn an_unknown_name_is_refused_and_the_nearest_one_suggested() {
    assert_eq!(
        refusal("[orders]\nhold_sec = 1", &[]),
        "there is no setting orders.hold_sec (banyan.toml line 2); did you mean orders.hold_secs?"
    );
    assert_eq!(
        refusal("", &[("BANYAN_ORDER__HOLD_SECS", "1")]),
        "there is no setting BANYAN_ORDER__HOLD_SECS (environment); did you mean BANYAN_ORDERS__HOLD_SECS?"
    );
    assert_eq!(
        refusal("[telescope]", &[]),
        "there is no setting telescope (banyan.toml line 1); `banyan settings --reference` lists all that there are"
    );
    refusal("orders = 5", &[]);
}

#[test]
fn a_file_that_is_no_toml_is_named_with_its_line() {
    let message = refusal("[orders]\nhold_secs = = 3\n", &[]);
    assert!(message.starts_with("the settings file banyan.toml is not written as TOML has it, line 2: "), "{message}");
}

#[test]
fn a_file_that_is_not_there_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let error = Settings::load(SECTIONS, Some(&folder.path().join("none.toml"))).unwrap_err().to_string();
    assert!(error.contains("none.toml cannot be read: No such file"), "{error}");
}

#[test]
fn a_secret_stands_in_no_message() {
    /// Takes the secret for something else, so that serde complains with its value.
    #[derive(Debug, Deserialize)]
    struct Wrong {
        #[expect(dead_code, reason = "it is never read")]
        database_url: Option<u32>,
    }
    let environment = [("BANYAN_ORDERS__DATABASE_URL".to_owned(), "hunter2".to_owned())];
    let settings = Settings::merge(SECTIONS, None, environment).unwrap();
    let error = settings.section::<Wrong>("orders").unwrap_err();
    for shown in [
        error.to_string(),
        format!("{error:?}"),
        format!("{settings:?}"),
        refusal("[orders]\ndatabase_url = ['hunter2']", &[]),
    ] {
        assert!(!shown.contains("hunter2") && shown.contains("***"), "{shown}");
    }
}

#[test]
fn a_number_below_its_least_is_refused_with_the_least() {
    const BOUNDED: &[Section] =
        &[Section { name: "", meaning: "All of it.", fields: &[field("writers", Kind::AtLeast(1), "1")] }];
    let of = |text: &str| Settings::merge(BOUNDED, None, [("BANYAN_WRITERS".to_owned(), text.to_owned())]);
    assert!(of("1").is_ok());
    let refused = of("0").unwrap_err().to_string();
    assert_eq!(
        refused,
        "setting writers = 0 (variable BANYAN_WRITERS) is refused: it takes a whole number, at least 1, by default 1"
    );
}

#[test]
fn a_flag_goes_before_the_environment_and_is_named_where_its_value_is_refused() {
    let environment = [("BANYAN_ORDERS__HOLD_SECS".to_owned(), "600".to_owned())];
    let mut settings = Settings::merge(SECTIONS, None, environment).unwrap();
    settings.take_flag("orders.hold_secs", "--hold", "60").unwrap();
    assert_eq!(settings.section::<Orders>("orders").unwrap().hold_secs, 60);
    let refused = settings.refused("orders.hold_secs", "it is odd", "an even one").to_string();
    assert_eq!(refused, "setting orders.hold_secs = 60 (--hold) is refused: it is odd; it takes an even one");
    assert!(settings.take_flag("orders.hold_secs", "--hold", "long").is_err());
}

#[test]
fn of_two_values_that_contradict_each_other_both_are_told_and_no_secret() {
    let environment = [("BANYAN_ORDERS__DATABASE_URL".to_owned(), "hunter2".to_owned())];
    let settings = Settings::merge(SECTIONS, None, environment).unwrap();
    let told = settings.contradiction("orders.database_url", "orders.mode", "one must be more").to_string();
    assert_eq!(
        told,
        "settings orders.database_url = *** (variable BANYAN_ORDERS__DATABASE_URL) and orders.mode = safe (the default) \
         contradict each other: one must be more"
    );
}

#[test]
fn the_reference_tells_every_setting() {
    let page = reference(SECTIONS);
    let row = "| `hold_secs` | It means something. | a whole number | `900` | `BANYAN_ORDERS__HOLD_SECS` |";
    assert!(page.contains(row), "{page}");
    assert!(page.contains("## The program\nAll of it.") && page.contains("| none | `BANYAN_DATABASE_URL` |"), "{page}");
}

#[test]
fn a_struct_and_its_reference_are_held_together() {
    check_reference::<Orders>(ORDERS);
}

#[test]
#[should_panic(expected = "and of the reference (right) differ")]
fn a_forgotten_setting_is_found() {
    check_reference::<Orders>(&ORDERS[1..]);
}

#[test]
#[should_panic(expected = "the defaults of the struct (left)")]
fn a_default_that_differs_is_found() {
    let mut fields = ORDERS.to_vec();
    fields[0].default = "901";
    check_reference::<Orders>(&fields);
}

#[test]
#[should_panic(expected = "does not take its defaults")]
fn a_kind_that_differs_is_found() {
    let mut fields = ORDERS.to_vec();
    fields[0].kind = Kind::Text;
    check_reference::<Orders>(&fields);
}

#[test]
fn variables_that_others_named_are_read_under_their_names_and_those_nobody_knows_here_are_theirs() {
    #[derive(Debug, Deserialize)]
    struct Otel {
        sdk_disabled: Option<bool>,
        service_name: Option<String>,
    }
    const OTEL: &[Section] = &[Section {
        name: "otel",
        meaning: "What others named.",
        fields: &[field("sdk_disabled", Kind::Flag, ""), field("service_name", Kind::Text, "")],
    }];
    let merge = |name: &str, value: &str| Settings::merge(OTEL, None, [(name.to_owned(), value.to_owned())]);
    let read = |name, value| merge(name, value).unwrap().section::<Otel>("otel").unwrap();
    assert_eq!(read("OTEL_SDK_DISABLED", "TRUE").sdk_disabled, Some(true));
    assert_eq!(read("OTEL_SERVICE_NAME", "shop").service_name.as_deref(), Some("shop"));
    // Empty is as if it were not there.
    assert_eq!(read("OTEL_SDK_DISABLED", "").sdk_disabled, None);
    assert_eq!(read("OTEL_LOGS_EXPORTER", "otlp").service_name, None);
    assert_eq!(
        merge("OTEL_SDK_DISABLED", "yes").unwrap_err().to_string(),
        "setting otel.sdk_disabled = \"yes\" (variable OTEL_SDK_DISABLED) is refused: it takes true or false"
    );
    assert!(merge("BANYAN_OTEL__SDK_DISABLED", "true").is_err(), "it has one name");
    assert!(reference(OTEL).contains("| `OTEL_SERVICE_NAME` |"));
}
