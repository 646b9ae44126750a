//! `rollcall man`: the help as manual pages.
//!
//! They bear today's date, or that of SOURCE_DATE_EPOCH, so that a package of the same sources is the same.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use clap::{Command, ValueHint};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::failure::Failure;
use super::output::{finish, stdout};

/// Where to.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Write a page for each subcommand into this directory, instead of the main page to standard output
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    dir: Option<PathBuf>,
}

/// Writes the pages.
pub(super) fn run(command: Command, exit_codes: &str, args: Args) -> Result<(), Failure> {
    let pages = pages(command, exit_codes, &date())?;
    let Some(dir) = args.dir else {
        let mut out = stdout();
        for (_, page) in pages.iter().take(1) {
            out.write_all(page)?;
        }
        return finish(out);
    };
    write(&dir, &pages)
        .map_err(|error| Failure::failed(format!("cannot write to {}: {error}", dir.display())))
}

fn write(dir: &Path, pages: &[(String, Vec<u8>)]) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    pages.iter().try_for_each(|(name, page)| fs::write(dir.join(name), page))
}

/// The day, as in `2026-11-25`.
fn date() -> String {
    let epoch = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|secs| secs.parse().ok());
    let at = epoch.and_then(|secs| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(secs)));
    let text = humantime::format_rfc3339_seconds(at.unwrap_or_else(SystemTime::now)).to_string();
    text.split('T').next().unwrap_or_default().to_owned()
}

/// All pages with the names of their files, the main one first.
fn pages(command: Command, exit_codes: &str, date: &str) -> io::Result<Vec<(String, Vec<u8>)>> {
    let source = format!("Rollcall {}", command.get_version().unwrap_or_default());
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let mut maker = Maker { source, date, exit_codes, pages: Vec::new() };
    maker.add(command, None)?;
    Ok(maker.pages)
}

struct Maker<'a> {
    source: String,
    date: &'a str,
    exit_codes: &'a str,
    pages: Vec<(String, Vec<u8>)>,
}

impl Maker<'_> {
    /// Adds the page of a command, and those of what is below it.
    fn add(&mut self, command: Command, above: Option<&str>) -> io::Result<()> {
        let shown = command.get_subcommands().filter(|command| !command.is_hide_set());
        let subcommands: Vec<_> = shown.cloned().collect();
        let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
        let command = command.subcommand_help_heading("COMMANDS").subcommand_value_name("command");
        let man = Man::new(command).title(name.to_uppercase()).date(self.date);
        let man = man.source(&self.source).manual("Rollcall");
        let mut page = Vec::new();
        man.render_title(&mut page)?;
        man.render_name_section(&mut page)?;
        man.render_synopsis_section(&mut page)?;
        man.render_options_section(&mut page)?;
        if !subcommands.is_empty() {
            man.render_subcommands_section(&mut page)?;
        }
        exit_status(self.exit_codes).to_writer(&mut page)?;
        if let Some(above) = above {
            see_also(above).to_writer(&mut page)?;
        }
        self.pages.push((man.get_filename(), tidied(&page)));
        subcommands.into_iter().try_for_each(|command| self.add(command, Some(&name)))
    }
}

/// Without the blank lines, double breaks and spaces at ends of lines that the renderer leaves, which formatters warn of.
fn tidied(page: &[u8]) -> Vec<u8> {
    let lines = page.split(|octet| *octet == b'\n').map(<[u8]>::trim_ascii_end);
    let mut lines: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
    lines.dedup_by(|line, before| line == before && *line == b".br");
    let mut tidied = lines.join(&b'\n');
    tidied.push(b'\n');
    tidied
}

/// From the lines of the help: a heading, codes with what they mean, and a last paragraph.
fn exit_status(exit_codes: &str) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["EXIT STATUS"]);
    let mut in_list = true;
    for line in exit_codes.lines().skip(1) {
        if let Some((code, meaning)) = line.trim_start().split_once("  ") {
            roff.control("TP", []).text([bold(code)]).text([roman(meaning)]);
            continue;
        }
        if in_list {
            roff.control("PP", []);
        }
        in_list = false;
        roff.text([roman(line)]);
    }
    roff
}

fn see_also(page: &str) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["SEE ALSO"]).text([bold(page), roman("(1)")]);
    roff
}

#[cfg(test)]
mod tests {
    use super::super::{EXIT_CODES, command};
    use super::*;

    fn made() -> Vec<(String, String)> {
        let text = |(name, page)| (name, String::from_utf8(page).unwrap());
        pages(command(), EXIT_CODES, "2026-11-25").unwrap().into_iter().map(text).collect()
    }

    #[test]
    fn each_subcommand_has_a_page_and_nothing_hidden_is_in_it() {
        let pages = made();
        assert_eq!(pages[0].0, "rollcall.1");
        for subcommand in command().get_subcommands() {
            let wanted = format!("rollcall-{}.1", subcommand.get_name());
            assert!(pages.iter().any(|(name, _)| *name == wanted), "{wanted}");
        }
        assert!(pages.iter().any(|(name, _)| name == "rollcall-token-create.1"));
        for (name, page) in &pages {
            // The option of `doctor` that is for tests, and the help's own subcommand.
            assert!(!page.contains("root") && !page.contains("rollcall\\-help"), "{name}: {page}");
        }
    }

    #[test]
    fn a_page_says_what_the_help_says() {
        let pages = made();
        let page = |wanted: &str| &pages.iter().find(|(name, _)| name == wanted).unwrap().1;
        let main = page("rollcall.1");
        assert!(main.contains("rollcall \\- A private DNS server"), "{main}");
        for heading in ["NAME", "SYNOPSIS", "OPTIONS", "COMMANDS", "\"EXIT STATUS\""] {
            assert!(main.contains(&format!(".SH {heading}\n")), "{heading}: {main}");
        }
        assert!(main.contains("ROLLCALL_TOKEN") && main.contains("the server was not reached"));
        assert!(main.contains(".TH ROLLCALL 1 2026-11-25 "), "{main}");
        let serve = page("rollcall-serve.1");
        assert!(serve.contains("\\-\\-config") && serve.contains(".SH \"SEE ALSO\""), "{serve}");
    }
}
