//! Which resources there are, and their rows, made once.

use std::sync::LazyLock;

use bytes::Bytes;
use serde_json::Value;

use super::super::reply;
use super::data;

/// A kind of thing that the service has many of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resource {
    Posts,
    Comments,
    Albums,
    Photos,
    Todos,
    Users,
}

/// All of one resource.
#[derive(Debug)]
pub(super) struct Table {
    /// Objects in the order of their `id`, which counts from 1.
    pub rows: Vec<Value>,
    /// The rows as they are sent where nothing is selected.
    pub text: Bytes,
}

// === impl Resource ===

impl Resource {
    pub const ALL: [Self; 6] =
        [Self::Posts, Self::Comments, Self::Albums, Self::Photos, Self::Todos, Self::Users];

    /// Its path.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Posts => "posts",
            Self::Comments => "comments",
            Self::Albums => "albums",
            Self::Photos => "photos",
            Self::Todos => "todos",
            Self::Users => "users",
        }
    }

    /// How many there are.
    pub const fn size(self) -> u64 {
        match self {
            Self::Posts | Self::Albums => 100,
            Self::Comments => 500,
            Self::Photos => 5000,
            Self::Todos => 200,
            Self::Users => 10,
        }
    }

    /// The field by which others refer to one of these.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Posts => "postId",
            Self::Comments => "commentId",
            Self::Albums => "albumId",
            Self::Photos => "photoId",
            Self::Todos => "todoId",
            Self::Users => "userId",
        }
    }

    /// What refers to these.
    pub fn children(self) -> impl Iterator<Item = Self> {
        let children: &[Self] = match self {
            Self::Posts => &[Self::Comments],
            Self::Albums => &[Self::Photos],
            Self::Users => &[Self::Albums, Self::Posts, Self::Todos],
            Self::Comments | Self::Photos | Self::Todos => &[],
        };
        children.iter().copied()
    }
}

// === impl Table ===

static TABLES: [LazyLock<Table>; 6] = [
    LazyLock::new(|| Table::new(Resource::Posts)),
    LazyLock::new(|| Table::new(Resource::Comments)),
    LazyLock::new(|| Table::new(Resource::Albums)),
    LazyLock::new(|| Table::new(Resource::Photos)),
    LazyLock::new(|| Table::new(Resource::Todos)),
    LazyLock::new(|| Table::new(Resource::Users)),
];

impl Table {
    /// The table, made at the first call.
    pub fn of(resource: Resource) -> &'static Self {
        // The order of `TABLES` is that of the variants.
        &TABLES[resource as usize]
    }

    fn new(resource: Resource) -> Self {
        let rows: Vec<_> = (1..=resource.size()).map(|id| data::row(resource, id)).collect();
        let text = reply::pretty(&rows).into();
        Self { rows, text }
    }

    /// The row with this `id`, as it stands in a path.
    pub fn row(&self, id: &str) -> Option<&Value> {
        let place = id.parse::<usize>().ok()?.checked_sub(1)?;
        self.rows.get(place)
    }
}

#[cfg(test)]
mod tests {
    use super::{Resource, Table};

    #[test]
    fn every_table_has_its_size_and_its_own_rows() {
        for resource in Resource::ALL {
            let table = Table::of(resource);
            assert_eq!(table.rows.len() as u64, resource.size());
            for (place, row) in table.rows.iter().enumerate() {
                assert_eq!(row["id"], place + 1, "{resource:?}");
            }
            for child in resource.children() {
                let first = &Table::of(child).rows[0];
                assert_eq!(first[resource.key()], 1, "{child:?} of {resource:?}");
            }
        }
    }
}
