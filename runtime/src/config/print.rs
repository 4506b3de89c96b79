//! A resolved configuration as a file that reads as the same configuration.

use super::declaration::{Declaration, Declarations, Resolved};
use super::path::toml_key;
use super::problem::Place;

/// Sections in the order of reading, each value with where it came from; secrets are remarks, not values.
pub(super) fn to_toml(declarations: &Declarations) -> String {
    let mut lines = Vec::new();
    for (path, options) in declarations.sections() {
        if !path.keys().is_empty() {
            if !lines.is_empty() {
                lines.push(String::new());
            }
            lines.push(format!("[{path}]"));
        }
        for option in options {
            print_option(option, &mut lines);
        }
    }
    lines.push(String::new());
    lines.join("\n")
}

fn print_option(option: &Declaration, lines: &mut Vec<String>) {
    let key = toml_key(option.path.last());
    match &option.resolved {
        Resolved::Unset => lines.push(format!("# {key} is not set")),
        Resolved::Value(value, place) => {
            let origin = match place {
                Place::File(_) => String::new(),
                Place::Environment(name) => format!("  # {name}"),
                Place::Nowhere => "  # default".to_owned(),
            };
            lines.push(format!("{key} = {value}{origin}"));
        }
        Resolved::SecretFromFile(file) => lines.push(format!("{key} = {file}")),
        Resolved::SecretFromEnvironment(name) => lines.push(format!("# {key}: a secret from {name}")),
        Resolved::Entries(entries) => {
            for entry in entries {
                if let Ok(content) = &entry.value {
                    lines.push(content.print(&entry.key));
                }
            }
        }
    }
}
