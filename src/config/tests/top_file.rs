//! `config.toml` at the top: it has every setting, with its default and its bounds.

use serde_json::Value;

use super::super::raw::{self, RawConfig, RawPrincipal, RawService};
use super::super::sections::NUMBERS;
use super::*;

const CONFIG_TOML: &str = include_str!("../../../config.toml");

#[test]
fn the_file_at_the_top_says_what_holds_without_a_file() {
    // The tests run in the top directory, where the file is, so `zones` is the same directory for both.
    let without = Config::load_in(None, &Overrides::default(), &at_home()).unwrap();
    let path = Path::new("config.toml");
    let with = Config::load_in(Some(path), &Overrides::default(), &at_home()).unwrap();
    assert_eq!(with, without);
    let zone_dir = Path::new("zones").is_dir().then(|| PathBuf::from("zones"));
    let mut expected = defaults();
    expected.dns.zone_dir = zone_dir;
    assert_eq!(with, expected);
    assert_eq!(load("").unwrap(), defaults());
}

/// The file with every commented-out setting and section in force.
fn uncommented() -> String {
    let setting = |line: &str| {
        let key = line.split(" = ").next().unwrap_or_default();
        line.contains(" = ") && key.chars().all(|c| c.is_ascii_lowercase() || c == '_')
    };
    let line = |line: &str| match line.strip_prefix("# ") {
        Some(rest) if setting(rest) || rest.starts_with('[') => format!("{rest}\n"),
        _ => format!("{line}\n"),
    };
    CONFIG_TOML.lines().map(line).collect()
}

/// The names of all values that are not tables, with their sections.
fn keys(value: &Value, prefix: &str, into: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                keys(member, &format!("{prefix}.{name}"), into);
            }
        }
        _ => into.push(prefix.trim_start_matches('.').to_owned()),
    }
}

#[test]
fn the_file_at_the_top_has_every_setting() {
    let mut known = RawConfig::default();
    known.services.insert(toml::Spanned::new(0..0, "web".into()), RawService::default());
    known
        .access
        .principals
        .insert(toml::Spanned::new(0..0, "web-hosts".into()), RawPrincipal::default());
    let mut expected = Vec::new();
    keys(&serde_json::to_value(&known).unwrap(), "", &mut expected);
    expected.sort();
    let text = uncommented();
    let mut listed = Vec::new();
    keys(
        &serde_json::to_value(toml::from_str::<toml::Table>(&text).unwrap()).unwrap(),
        "",
        &mut listed,
    );
    listed.sort();
    assert_eq!(listed, expected);
    let mut problems = Vec::new();
    raw::read(&text, &mut problems);
    assert_eq!(problems, []);
}

#[test]
fn the_file_at_the_top_tells_bounds_and_defaults() {
    for (key, least, most, default) in NUMBERS {
        let (section, name) = key.split_once('.').unwrap();
        let section = CONFIG_TOML.split(&format!("[{section}]\n")).nth(1).unwrap();
        let (before, _) =
            section.split_once(&format!("\n{name} = {default}\n")).unwrap_or_else(|| {
                panic!("{key} = {default} is not there");
            });
        let comment = before.rsplit("\n\n").next().unwrap();
        assert!(comment.contains(&format!("{least} to {most}")), "{key}: {comment}");
        for wrong in [least - 1, most + 1] {
            let text = format!("{key} = {wrong}");
            let line = format!("config.toml line 1: {key} must be {least} to {most}, not {wrong}");
            assert!(load(&text).unwrap_err().lines().any(|l| l == line), "{text}");
        }
    }
}
