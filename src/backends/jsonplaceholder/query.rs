//! What a list's query selects: `?field=value` filters, `_sort` and `_order`,
//! `_page` and `_limit`, `_start` and `_end`.

use std::cmp::Ordering;

use axum::http::HeaderValue;
use serde_json::Value;

use super::super::call::{Call, Pairs};
use super::tables::Table;

/// How many rows a page has where the client does not say.
const PAGE_SIZE: usize = 10;

/// The selected rows.
pub(super) struct Selection {
    pub rows: Vec<&'static Value>,
    /// How many rows there were before they were cut to size, if they were.
    pub total: Option<usize>,
    page: Option<Page>,
}

struct Page {
    number: usize,
    last: usize,
}

/// Selects rows; a name that is no field of any row is no filter.
pub(super) fn select(table: &'static Table, args: &Pairs) -> Selection {
    let first = |name: &str| args.iter().find(|(key, _)| key == name).map(|(_, v)| v.as_str());
    // Settled before the rows are looked at: it asks all of them.
    let filters: Vec<_> = args.iter().filter(|(name, _)| is_field(table, name)).collect();
    let mut rows: Vec<_> = table.rows.iter().filter(|row| accepts(&filters, row)).collect();
    if let Some(fields) = first("_sort") {
        sort(&mut rows, fields, first("_order").unwrap_or(""));
    }

    let number = |name| first(name).map(|text| text.parse::<usize>().unwrap_or(0));
    let total = rows.len();
    let (start, end, page) = if let Some(number_of_page) = number("_page") {
        let size = number("_limit").filter(|&size| size > 0).unwrap_or(PAGE_SIZE);
        let last = total.div_ceil(size).max(1);
        let number = number_of_page.max(1);
        let start = (number - 1).saturating_mul(size);
        (start, start.saturating_add(size), Some(Page { number, last }))
    } else {
        let start = number("_start").unwrap_or(0);
        match (number("_end"), number("_limit")) {
            (Some(end), _) => (start, end, None),
            (None, Some(limit)) => (start, start.saturating_add(limit), None),
            (None, None) => return Selection { rows, total: None, page: None },
        }
    };
    let end = end.min(total);
    let rows = rows.get(start..end).unwrap_or_default().to_vec();
    Selection { rows, total: Some(total), page }
}

fn is_field(table: &Table, name: &str) -> bool {
    !name.starts_with('_') && table.rows.iter().any(|row| field(row, name).is_some())
}

/// Whether the row has, for every field named, one of the values given for it.
fn accepts(filters: &[&(String, String)], row: &Value) -> bool {
    filters.iter().all(|(name, _)| {
        let Some(value) = field(row, name).map(text) else { return false };
        filters.iter().any(|(other, wanted)| other == name && *wanted == value)
    })
}

/// The field, where `address.geo.lat` is one inside others.
fn field<'a>(row: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(row, |value, name| value.get(name))
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// `fields` and `orders` are lists with commas; an order that is not `desc` is
/// ascending. Rows that are equal in all keep their order.
fn sort(rows: &mut [&'static Value], fields: &str, orders: &str) {
    let descending: Vec<_> = orders.split(',').map(|o| o.eq_ignore_ascii_case("desc")).collect();
    rows.sort_by(|a, b| {
        let by_field = fields.split(',').enumerate().map(|(number, name)| {
            let order = compare(field(a, name), field(b, name));
            if descending.get(number) == Some(&true) { order.reverse() } else { order }
        });
        by_field.fold(Ordering::Equal, Ordering::then)
    });
}

fn compare(a: Option<&Value>, b: Option<&Value>) -> Ordering {
    match (a, b) {
        (Some(Value::Number(a)), Some(Value::Number(b))) => a.as_i64().cmp(&b.as_i64()),
        (Some(a), Some(b)) => text(a).cmp(&text(b)),
        // What is not there comes last.
        (a, b) => b.is_some().cmp(&a.is_some()),
    }
}

// === impl Selection ===

impl Selection {
    /// The pages beside this one, as a `Link` header (RFC 8288).
    pub fn link(&self, call: &Call) -> Option<HeaderValue> {
        let page = self.page.as_ref()?;
        let to = |number: usize, relation: &str| {
            let mut query = form_urlencoded::Serializer::new(String::new());
            for (name, value) in call.args() {
                let value = if name == "_page" { number.to_string() } else { value };
                query.append_pair(&name, &value);
            }
            let (host, path) = (call.host(), call.uri.path());
            format!("<http://{host}{path}?{}>; rel=\"{relation}\"", query.finish())
        };
        let mut links = vec![to(1, "first")];
        if page.number > 1 {
            links.push(to(page.number - 1, "prev"));
        }
        if page.number < page.last {
            links.push(to(page.number + 1, "next"));
        }
        links.push(to(page.last, "last"));
        HeaderValue::try_from(links.join(", ")).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tables::{Resource, Table};
    use super::*;

    const NONE: [u64; 0] = [];

    fn ids(resource: Resource, query: &str) -> Vec<u64> {
        let args = super::super::super::call::parse_pairs(query.as_bytes());
        let rows = select(Table::of(resource), &args).rows;
        rows.iter().map(|row| row["id"].as_u64().unwrap()).collect()
    }

    #[test]
    fn filters_are_exact_and_of_one_name_alternatives() {
        assert_eq!(ids(Resource::Posts, "userId=2"), (11..=20).collect::<Vec<_>>());
        assert_eq!(ids(Resource::Posts, "id=3&id=5"), [3, 5]);
        assert_eq!(ids(Resource::Posts, "id=3&id=15&userId=2"), [15]);
        assert_eq!(ids(Resource::Posts, "userId=02"), NONE);
        assert_eq!(ids(Resource::Users, "nothing=1").len(), 10);
        let city = Table::of(Resource::Users).rows[4]["address"]["city"].as_str().unwrap();
        assert!(ids(Resource::Users, &format!("address.city={city}")).contains(&5));
        let done = ids(Resource::Todos, "completed=true").len();
        assert_eq!(done + ids(Resource::Todos, "completed=false").len(), 200);
    }

    #[test]
    fn rows_are_cut_after_they_are_sorted() {
        assert_eq!(ids(Resource::Posts, "_limit=3"), [1, 2, 3]);
        assert_eq!(ids(Resource::Posts, "_start=98&_limit=5"), [99, 100]);
        assert_eq!(ids(Resource::Posts, "_start=2&_end=4"), [3, 4]);
        assert_eq!(ids(Resource::Posts, "_start=200&_limit=5"), NONE);
        assert_eq!(ids(Resource::Posts, "_start=9&_end=4"), NONE);
        assert_eq!(ids(Resource::Posts, "_page=2&_limit=2"), [3, 4]);
        assert_eq!(ids(Resource::Posts, "_page=10"), (91..=100).collect::<Vec<_>>());
        assert_eq!(ids(Resource::Posts, "_page=18446744073709551615"), NONE);
        assert_eq!(ids(Resource::Posts, "_sort=id&_order=desc&_limit=2"), [100, 99]);
        assert_eq!(ids(Resource::Posts, "_sort=userId,id&_order=desc,asc&_limit=2"), [91, 92]);
    }
}
