//! What the documents show is true.

use std::path::Path;

use pingora_lab::config::Config;
use serde_json::{Value, json};

/// The fenced blocks of a language in a document.
fn blocks(document: &str, language: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(document);
    let text = std::fs::read_to_string(path).unwrap();
    let opening = format!("```{language}\n");
    text.split(&opening).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

fn load(text: &str) -> Config {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let (config, _) =
        Config::from_file(file.path()).unwrap_or_else(|error| panic!("{error}\n{text}"));
    config.validate().unwrap_or_else(|error| panic!("{error}\n{text}"));
    config
}

#[test]
fn every_configuration_in_the_documents_can_be_used() {
    let examples: Vec<_> = [
        "README.md",
        "docs/README.zh.md",
        "docs/serve.md",
        "docs/configuration.md",
        "docs/operation.md",
    ]
    .iter()
    .flat_map(|document| blocks(document, "toml"))
    .collect();
    assert!(examples.len() >= 4, "{}", examples.len());
    for example in examples {
        // What `--print-config` shows is a file that means the same, but for secrets.
        let written = load(&example).to_toml().unwrap();
        if !written.contains("***") {
            assert_eq!(load(&written).to_toml().unwrap(), written);
        }
    }
}

/// A part of the schema, following references.
fn resolved<'a>(schema: &'a Value, root: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(reference) => {
            let name = reference.strip_prefix("#/$defs/").expect("a definition");
            &root["$defs"][name]
        }
        None => schema,
    }
}

/// What may stand for a key, for people.
fn kind(schema: &Value, root: &Value) -> String {
    if let Some(options) = schema["anyOf"].as_array() {
        let kinds = options.iter().filter(|option| option["type"] != "null");
        return kinds.map(|option| kind(option, root)).collect::<Vec<_>>().join(" or ");
    }
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap();
        match name {
            "Span" => return "time".to_owned(),
            "Size" => return "size".to_owned(),
            "Secret" => return "secret".to_owned(),
            _ => {}
        }
    }
    let schema = resolved(schema, root);
    let words = |options: &[Value]| -> String {
        let word = |option: &Value| match (&option["const"], option["type"].as_str()) {
            (Value::String(word), _) => format!("`{word}`"),
            (_, Some("object")) => {
                let keys = option["properties"].as_object().unwrap().keys();
                format!("`{{ {} = … }}`", keys.map(String::as_str).collect::<Vec<_>>().join(", "))
            }
            _ => kind(option, root),
        };
        options.iter().map(word).collect::<Vec<_>>().join(", ")
    };
    if let Some(options) = schema["oneOf"].as_array() {
        return words(options);
    }
    if let Some(options) = schema["enum"].as_array() {
        let word = |option: &Value| match option {
            Value::String(word) => format!("`{word}`"),
            number => format!("`{number}`"),
        };
        return options.iter().map(word).collect::<Vec<_>>().join(", ");
    }
    let range = match (&schema["minimum"], &schema["maximum"]) {
        (Value::Number(least), Value::Number(most)) => format!(" {least} to {most}"),
        _ => String::new(),
    };
    let name = match &schema["type"] {
        Value::String(name) => name.clone(),
        Value::Array(names) => names[0].as_str().unwrap().to_owned(),
        _ => "value".to_owned(),
    };
    match name.as_str() {
        "array" => format!("list of {}", kind(&schema["items"], root)),
        "integer" | "number" => format!("number{range}"),
        "object" => "table".to_owned(),
        other => other.to_owned(),
    }
}

/// One line of prose in a cell of a table.
fn cell(text: &str) -> String {
    let first = text.split("\n\n").next().unwrap();
    first.replace('\n', " ").replace('|', "\\|")
}

/// The tables of keys, by the way to them.
fn tables(way: &str, schema: &Value, root: &Value, found: &mut Vec<(String, String)>) {
    let Some(properties) = schema["properties"].as_object() else { return };
    let mut table = "| key | | default | |\n| --- | --- | --- | --- |\n".to_owned();
    let mut below = Vec::new();
    for (key, value) in properties {
        let target = resolved(value, root);
        // An optional table is described as one of two.
        let target = match target["anyOf"].as_array() {
            Some(options) => resolved(&options[0], root),
            None => target,
        };
        let item = resolved(&target["items"], root);
        // A table for each name.
        let named = resolved(&target["additionalProperties"], root);
        let step = |name: &str| match way {
            "" => name.to_owned(),
            way => format!("{way}.{name}"),
        };
        if target["properties"].is_object() {
            below.push((step(key), target));
        } else if item["properties"].is_object() {
            below.push((step(key), item));
        } else if named["properties"].is_object() {
            below.push((step(&format!("{key}.NAME")), named));
        } else {
            let required = schema["required"].as_array().is_some_and(|r| r.contains(&json!(key)));
            let default = match &value["default"] {
                _ if required => "needed".to_owned(),
                // What depends on the machine is said in words.
                _ if key == "threads" => "one for each processor".to_owned(),
                Value::Null => "none".to_owned(),
                default => format!("`{default}`"),
            };
            let description = value["description"].as_str().or(target["description"].as_str());
            let description = description.unwrap_or_else(|| panic!("{way}.{key} is not described"));
            table += &format!(
                "| `{key}` | {} | {default} | {} |\n",
                kind(value, root),
                cell(description)
            );
        }
    }
    found.push((way.to_owned(), table));
    for (way, schema) in below {
        tables(&way, schema, root, found);
    }
}

/// With `WRITE_DOCUMENTS=1`, writes the tables instead of comparing them.
#[test]
fn the_configuration_document_holds_every_key_with_its_default() {
    let schema = Config::schema();
    let mut found = Vec::new();
    tables("", &schema, &schema, &mut found);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let document = std::fs::read_to_string(&path).unwrap();
    let mut written = document.clone();
    for (way, table) in &found {
        let way = if way.is_empty() { "the file" } else { way };
        let begin = format!("<!-- keys of {way} -->\n");
        let start =
            written.find(&begin).unwrap_or_else(|| panic!("no place for the keys of {way}"));
        let start = start + begin.len();
        let end = start + written[start..].find("<!-- end -->").expect("an end");
        written.replace_range(start..end, &format!("\n{table}\n"));
    }
    let places = document.matches("<!-- keys of ").count();
    assert_eq!(places, found.len(), "a place for keys that do not exist");
    if std::env::var_os("WRITE_DOCUMENTS").is_some() {
        std::fs::write(&path, &written).unwrap();
    } else {
        assert_eq!(document, written, "write it anew with WRITE_DOCUMENTS=1 cargo test documents");
    }
}

/// With `WRITE_DOCUMENTS=1`, writes the table instead of comparing it.
#[test]
fn the_operation_document_holds_every_metric() {
    let mut table = "| name | kind | labels | |\n| --- | --- | --- | --- |\n".to_owned();
    let counted = pingora_lab::proxy::metrics::family::ALL;
    for family in counted.iter().chain(pingora_lab::server::metrics::ALL) {
        let labels: Vec<_> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        let kind = format!("{:?}", family.kind).to_lowercase();
        let labels = labels.join(", ");
        table += &format!("| `{}` | {kind} | {labels} | {} |\n", family.name, family.help);
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operation.md");
    let document = std::fs::read_to_string(&path).unwrap();
    let begin = "<!-- metrics -->\n";
    let start = document.find(begin).expect("a place for the metrics") + begin.len();
    let end = start + document[start..].find("<!-- end -->").expect("an end");
    let mut written = document.clone();
    written.replace_range(start..end, &format!("\n{table}\n"));
    if std::env::var_os("WRITE_DOCUMENTS").is_some() {
        std::fs::write(&path, &written).unwrap();
    } else {
        assert_eq!(document, written, "write it anew with WRITE_DOCUMENTS=1 cargo test documents");
    }
}

#[test]
fn every_yes_of_the_comparison_names_a_test_that_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/comparison.md")).unwrap();
    let mut shown = 0;
    // | what | ours | six others | shown by |
    let rows = page.lines().filter_map(|line| {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        (cells.len() == 11 && !cells[1].is_empty()).then_some(cells)
    });
    for cells in rows {
        let tests: Vec<_> = cells[9].split('`').filter(|part| part.contains("::")).collect();
        assert_eq!(cells[2] == "yes", !tests.is_empty(), "{}", cells[1]);
        for test in tests {
            let (file, name) = test.split_once("::").unwrap();
            let folder = if file.contains("src/") || file.contains("tests/") {
                ""
            } else {
                "tests/lab/serve"
            };
            let text = std::fs::read_to_string(root.join(folder).join(file)).expect(file);
            assert!(text.contains(&format!("fn {name}()")), "{test} is no test");
            shown += 1;
        }
    }
    assert!(shown > 50, "{shown}");
}
