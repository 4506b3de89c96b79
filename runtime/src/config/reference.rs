//! The page that lists every option of every service, made from their declarations.

use super::declaration::{Declaration, Declarations, Presence};
use super::path::{ENV_PREFIX, KeyPath};
use super::reader::EXAMPLE_NAME;

/// The reference of `services` (name and declarations) as Markdown. A section that several services read alike
/// stands there once, with their names.
#[must_use]
pub fn reference(services: &[(&str, Declarations)]) -> String {
    let mut sections: Vec<Shown<'_>> = Vec::new();
    for (service, declarations) in services {
        for (path, options) in declarations.sections() {
            let body = section_body(&options);
            match sections.iter_mut().find(|shown| shown.path == path && shown.body == body) {
                Some(shown) => shown.readers.push(service),
                None => sections.push(Shown { path, body, readers: vec![service] }),
            }
        }
    }
    sections.sort_by(|a, b| a.path.cmp(&b.path));
    let mut page = format!("{INTRODUCTION}\n");
    let mut latest = None;
    for Shown { path, body, readers } in sections {
        let heading = if path.keys().is_empty() { "Above the first section".to_owned() } else { format!("`[{path}]`") };
        if latest.as_ref() != Some(&path) {
            page.push_str(&format!("\n## {heading}\n"));
        }
        page.push_str(&format!("\nRead by {}.\n\n{body}", readers.join(", ")));
        latest = Some(path);
    }
    page
}

/// A configuration to begin with, as TOML: every option of `services` with what it means, as a comment with its default;
/// `…` stands for what has none and must be filled in.
#[must_use]
pub fn template(services: &[(&str, Declarations)]) -> String {
    let mut sections: Vec<(KeyPath, Vec<Declaration>)> = Vec::new();
    for (_, declarations) in services {
        for (path, options) in declarations.sections() {
            let at = sections.iter().position(|(known, _)| *known == path).unwrap_or_else(|| {
                sections.push((path, Vec::new()));
                sections.len() - 1
            });
            let Some((_, known)) = sections.get_mut(at) else { continue };
            for option in options {
                if !known.iter().any(|other| other.path == option.path) {
                    known.push(option.clone());
                }
            }
        }
    }
    sections.sort_by(|a, b| a.0.cmp(&b.0));
    let mut text = String::from(TEMPLATE_INTRODUCTION);
    for (path, options) in sections {
        if !path.keys().is_empty() {
            // Written out, the example would be one more section of that kind.
            let mark = if path.keys().iter().any(|key| key == EXAMPLE_NAME) { "# " } else { "" };
            text.push_str(&format!("\n{mark}[{path}]\n"));
        }
        for option in options {
            text.push_str(&option_of_template(&option));
        }
    }
    text
}

const TEMPLATE_INTRODUCTION: &str =
    "# Every option, with its default. Take the # away from what is to be another; fill in what stands as …
# Each can also be set in the environment, as TIDEWATER__SECTION__KEY.
";

fn option_of_template(option: &Declaration) -> String {
    let (about, key) = (option.about, option.path.last());
    let of = |value: &str| format!("# {about} ({})\n# {key} = {value}\n", option.expected);
    match &option.presence {
        Presence::Required(reason) => format!("# {about} Required: {reason}. ({})\n# {key} = …\n", option.expected),
        Presence::Default(value) => of(&value.to_string()),
        Presence::Optional => format!("# {about} Unset by default. ({})\n# {key} =\n", option.expected),
        Presence::Free => format!("# {about}\n"),
        Presence::Foreign => String::new(),
    }
}

/// A section as some services read it, word for word alike.
struct Shown<'s> {
    path: KeyPath,
    body: String,
    readers: Vec<&'s str>,
}

const INTRODUCTION: &str = "<!-- Generated from the code's declarations. To change it, change them. -->
# Configuration

One TOML file, named with `--config`, and the environment. Each option can also be set as
`TIDEWATER__SECTION__KEY` (upper case, two underscores between the parts), and that wins over the file. An unknown key
is refused. `--check` tells all problems at once and ends with 0 or 64; `--print-config` shows what is in force.
Secrets come from the environment or from a file that a `_file` key names, never from the configuration file itself.";

fn section_body(options: &[&Declaration]) -> String {
    if let [free] = options
        && free.presence == Presence::Free
    {
        return format!(
            "{} Keys are dotted and quoted (`\"a.b\" = \"text\"`); in the environment `_` stands for the dot: \
             `{ENV_PREFIX}…__A_B`. Of a key that holds a secret, name a file: `\"a.password_file\"`.\n",
            free.about
        );
    }
    let mut body = "| key | must be | default | |\n|---|---|---|---|\n".to_owned();
    for option in options {
        let default = match &option.presence {
            Presence::Required(reason) => format!("required: {reason}"),
            Presence::Default(value) => format!("`{value}`"),
            Presence::Optional => "none".to_owned(),
            Presence::Free | Presence::Foreign => "empty".to_owned(),
        };
        let cells = [format!("`{}`", option.path.last()), option.expected.clone(), default, option.about.to_owned()];
        let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
        body.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    body
}
