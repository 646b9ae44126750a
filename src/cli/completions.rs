//! `rollcall completions`: what makes a shell complete our command line.

use std::io::Write;

use clap::{Arg, Command, ValueHint};
use clap_complete::aot::{Shell, generate};

use super::failure::Failure;
use super::output::{finish, stdout};

/// For which shell.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The shell
    shell: Shell,
}

/// Writes the script to standard output.
pub(super) fn run(command: &Command, args: &Args) -> Result<(), Failure> {
    let mut out = stdout();
    out.write_all(&script(command, args.shell))?;
    finish(out)
}

fn script(command: &Command, shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    let name = command.get_name().to_owned();
    generate(shell, &mut shown(command), name, &mut script);
    script
}

/// The command without what its help does not show: the generators would offer that too.
fn shown(command: &Command) -> Command {
    let arguments = command.get_arguments().filter(|argument| !argument.is_hide_set());
    let subcommands = command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set());
    let mut shown = Command::new(command.get_name().to_owned())
        .disable_help_subcommand(true)
        .args(arguments.cloned().map(hinted))
        .groups(command.get_groups().cloned())
        .subcommands(subcommands.map(self::shown));
    if let Some(about) = command.get_about() {
        shown = shown.about(about.clone());
    }
    match command.get_version() {
        Some(version) => shown.version(version.to_owned()),
        None => shown,
    }
}

/// A shell offers files for a value of which nothing is said; where we want one, we say so.
fn hinted(argument: Arg) -> Arg {
    let is_open = argument.get_value_hint() == ValueHint::Unknown;
    let has_value = argument.get_action().takes_values() && !argument.is_positional();
    if is_open && has_value { argument.value_hint(ValueHint::Other) } else { argument }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::super::command;
    use super::*;

    #[test]
    fn every_shell_gets_every_subcommand_and_nothing_hidden() {
        let command = command();
        for shell in Shell::value_variants() {
            let script = String::from_utf8(script(&command, *shell)).unwrap();
            for subcommand in command.get_subcommands() {
                assert!(script.contains(subcommand.get_name()), "{shell}: {subcommand}");
            }
            assert!(
                script.contains("max-instances"),
                "{shell}: options of what is two levels down"
            );
            // The option of `doctor` that is for tests.
            assert!(!script.contains("root"), "{shell}: hidden options");
        }
    }

    #[test]
    fn files_are_offered_for_files_alone() {
        let shown = shown(&command());
        let serve = shown.find_subcommand("serve").unwrap();
        let hint = |name: &str| {
            serve.get_arguments().find(|arg| arg.get_id() == name).map(Arg::get_value_hint)
        };
        assert_eq!(hint("config"), Some(ValueHint::AnyPath));
        assert_eq!(hint("dns"), Some(ValueHint::Other));
    }
}
