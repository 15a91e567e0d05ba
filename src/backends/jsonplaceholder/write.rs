//! Writes, answered as if they had been done.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::super::call::{Call, parse_pairs};
use super::super::reply;
use super::tables::{Resource, Table};
use super::{answer, missing};

type Fields = Map<String, Value>;

/// `201`, what was sent, and the `id` that comes after the last one.
pub(super) fn create(
    resource: Resource,
    call: &Call,
    parent: Option<(&'static str, &str)>,
) -> Response {
    let mut fields = match sent(call) {
        Ok(fields) => fields,
        Err(message) => return refuse(&message),
    };
    if let Some((key, id)) = parent {
        let id = id.parse::<u64>().map_or_else(|_| json!(id), |number| json!(number));
        fields.insert(key.to_owned(), id);
    }
    let id = resource.size() + 1;
    fields.insert("id".to_owned(), id.into());
    let response = answer(StatusCode::CREATED, &Value::Object(fields));
    let location = format!("http://{}/{}/{id}", call.host(), resource.name());
    let response = match HeaderValue::try_from(location) {
        Ok(location) => reply::with(response, header::LOCATION, location),
        Err(_) => response,
    };
    let exposed = HeaderValue::from_static("Location");
    reply::with(response, header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed)
}

/// What was sent, under the `id` of the path.
pub(super) fn replace(resource: Resource, id: &str, call: &Call) -> Response {
    let Some(row) = Table::of(resource).row(id) else { return missing() };
    match sent(call) {
        Ok(mut fields) => {
            fields.insert("id".to_owned(), row["id"].clone());
            answer(StatusCode::OK, &Value::Object(fields))
        }
        Err(message) => refuse(&message),
    }
}

/// The row with what was sent laid over it.
pub(super) fn change(resource: Resource, id: &str, call: &Call) -> Response {
    let Some(row) = Table::of(resource).row(id) else { return missing() };
    match (sent(call), row.clone()) {
        (Ok(fields), Value::Object(mut changed)) => {
            changed.extend(fields);
            answer(StatusCode::OK, &Value::Object(changed))
        }
        (Err(message), _) => refuse(&message),
        (Ok(_), row) => answer(StatusCode::OK, &row),
    }
}

/// The fields of a JSON object or a form; none where the body is neither; else what
/// is wrong with it.
fn sent(call: &Call) -> Result<Fields, String> {
    match call.media_type().as_str() {
        "application/x-www-form-urlencoded" => {
            let pairs = parse_pairs(&call.body).into_iter();
            Ok(pairs.map(|(name, value)| (name, value.into())).collect())
        }
        "application/json" if !call.body.is_empty() => match serde_json::from_slice(&call.body) {
            Ok(Value::Object(fields)) => Ok(fields),
            Ok(_) => Err("The body is JSON, but not an object.".to_owned()),
            Err(error) => Err(format!("The body is not JSON: {error}.")),
        },
        _ => Ok(Fields::new()),
    }
}

fn refuse(message: &str) -> Response {
    reply::error_json(StatusCode::BAD_REQUEST, "not_a_json_object", message)
}
