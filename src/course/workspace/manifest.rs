//! What a newer version of the course adds to a learner's `Cargo.toml`.

use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, TomlError, value};

use super::template;

/// A learner's `Cargo.toml` with the binaries that it lacks at its end, or none where it
/// lacks none. With them come the dependencies and the profiles of packages that their
/// lessons count on, where there is nothing of the name: who has another version, or has
/// taken out what is not needed, keeps it so. The rest stays as it is, letter for letter.
///
/// # Errors
///
/// What of the text can't be understood, or added to, with its place where it has one.
pub(super) fn with_stages<'a>(
    text: &str,
    stages: impl IntoIterator<Item = (&'a str, String)>,
) -> Result<Option<String>, String> {
    let parse = |text: &str| text.parse::<DocumentMut>();
    let mut document = parse(text).map_err(|error: TomlError| error.to_string())?;
    let binaries = document.entry("bin").or_insert(Item::ArrayOfTables(ArrayOfTables::new()));
    let Some(binaries) = binaries.as_array_of_tables_mut() else {
        return Err("the binaries are not a list of [[bin]], one table for each".to_owned());
    };
    let name = |binary: &Table| binary.get("name").and_then(Item::as_str).map(str::to_owned);
    let there: Vec<_> = binaries.iter().filter_map(name).collect();
    let mut missing =
        stages.into_iter().filter(|(name, _)| !there.iter().any(|other| other == name)).peekable();
    if missing.peek().is_none() {
        return Ok(None);
    }
    for (name, path) in missing {
        let mut binary = Table::new();
        binary.insert("name", value(name));
        binary.insert("path", value(path));
        binaries.push(binary);
    }
    let newest = parse(template::MANIFEST).map_err(|error| error.to_string())?;
    for way in [&["dependencies"][..], &["profile", "dev", "package"]] {
        add(document.as_item_mut(), newest.as_item(), way)
            .ok_or_else(|| format!("{} is not a table", way.join(".")))?;
    }
    let more = document.to_string();
    // It writes the ends of lines in its own way.
    Ok(Some(if text.contains("\r\n") { more.replace('\n', "\r\n") } else { more }))
}

/// Adds what a table of another document has and this one lacks; none where something
/// else stands in its place.
fn add(document: &mut Item, newest: &Item, way: &[&str]) -> Option<()> {
    let (mut table, mut from) = (document.as_table_like_mut()?, newest.as_table_like()?);
    for name in way {
        from = from.get(name)?.as_table_like()?;
        let nothing = || {
            let mut table = Table::new();
            table.set_implicit(true);
            Item::Table(table)
        };
        table = table.entry(name).or_insert_with(nothing).as_table_like_mut()?;
    }
    for (name, item) in from.iter().filter(|(name, _)| !name.is_empty()) {
        table.entry(name).or_insert_with(|| item.clone());
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(text: &str) -> String {
        with_stages(text, [("17-new", "stages/17-new/main.rs".to_owned())]).unwrap().unwrap()
    }

    #[test]
    fn what_is_missing_comes_with_a_new_stage_and_the_rest_stays() {
        let text = "# mine\n[package]\nname='x'\n\n[dependencies]\ntoml   = \"0.9\" # older\n\n\
                    [dependencies.serde]\npath = '../serde'\n\n[[bin]]\nname = \"01\"\npath = \"a\"\n";
        let more = with(text);
        let kept = "# mine\n[package]\nname='x'\n\n[dependencies]\ntoml   = \"0.9\" # older\n";
        assert!(more.starts_with(kept), "{more}");
        assert!(more.contains("\n\n[dependencies.serde]\npath = '../serde'\n"), "{more}");
        assert!(more.contains("\n[[bin]]\nname = \"17-new\"\npath = \"stages/17-new/main.rs\"\n"));
        let (more, newest): (toml::Table, toml::Table) =
            (more.parse().unwrap(), template::MANIFEST.parse().unwrap());
        for (name, wanted) in newest["dependencies"].as_table().unwrap() {
            let there = &more["dependencies"][name];
            let own = matches!(name.as_str(), "toml" | "serde");
            assert_eq!(there != wanted, own, "{name}");
        }
        assert_eq!(more["profile"]["dev"]["package"], newest["profile"]["dev"]["package"]);
    }

    #[test]
    fn lines_keep_their_ends() {
        let text = "# mine\r\n[package]\r\nname = 'x'\r\n\r\n[lib]\r\n";
        let more = with(text);
        assert!(more.starts_with(text), "{more:?}");
        assert_eq!(more.matches('\n').count(), more.matches("\r\n").count());
    }

    #[test]
    fn where_no_stage_is_missing_what_was_taken_out_stays_out() {
        let text = "[dependencies]\n[[bin]]\nname = \"17-new\"\npath = \"mine.rs\"\n";
        assert_eq!(with_stages(text, [("17-new", String::new())]), Ok(None));
    }

    #[test]
    fn tables_of_any_form_are_added_to_and_what_is_none_is_named() {
        let inline = with("dependencies = { toml = '0.9' }\n");
        let table: toml::Table = inline.parse().unwrap();
        assert_eq!(table["dependencies"]["toml"].as_str(), Some("0.9"));
        assert!(table["dependencies"].get("pingora").is_some(), "{inline}");
        for (text, said) in [
            ("bin = []\n", "[[bin]]"),
            ("dependencies = 1\n", "dependencies is not a table"),
            ("[profile]\ndev = 1\n", "profile.dev.package is not a table"),
            ("[package\n", "line 1"),
        ] {
            let error = with_stages(text, [("17-new", String::new())]).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }
}
