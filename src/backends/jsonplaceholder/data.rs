//! One row of each resource, made from its number alone.

use serde_json::{Value, json};

use super::tables::Resource;
use super::words::{GIVEN_NAMES, SURNAMES, Writer};

const POSTS_PER_USER: u64 = 10;
const ALBUMS_PER_USER: u64 = 10;
const TODOS_PER_USER: u64 = 20;
const COMMENTS_PER_POST: u64 = 5;
const PHOTOS_PER_ALBUM: u64 = 50;

/// The row whose `id` this is; the same every time and everywhere.
pub(super) fn row(resource: Resource, id: u64) -> Value {
    // Each row has a seed of its own, so that none depends on the others.
    let mut writer = Writer::seeded(((resource as u64 + 1) << 32) | id);
    match resource {
        Resource::Posts => json!({
            "userId": parent(id, POSTS_PER_USER),
            "id": id,
            "title": writer.title(),
            "body": writer.paragraph(4),
        }),
        Resource::Comments => {
            let name = writer.title();
            let reader = writer.one_of(&GIVEN_NAMES);
            json!({
                "postId": parent(id, COMMENTS_PER_POST),
                "id": id,
                "name": name,
                "email": format!("{}.{id}@readers.example", reader.to_lowercase()),
                "body": writer.paragraph(3),
            })
        }
        Resource::Albums => json!({
            "userId": parent(id, ALBUMS_PER_USER),
            "id": id,
            "title": writer.title(),
        }),
        Resource::Photos => json!({
            "albumId": parent(id, PHOTOS_PER_ALBUM),
            "id": id,
            "title": writer.title(),
            "url": format!("https://photos.example/600/{id}.png"),
            "thumbnailUrl": format!("https://photos.example/150/{id}.png"),
        }),
        Resource::Todos => json!({
            "userId": parent(id, TODOS_PER_USER),
            "id": id,
            "title": writer.title(),
            "completed": writer.below(5) < 2,
        }),
        Resource::Users => user(id, &mut writer),
    }
}

/// The number of the row that this one belongs to.
fn parent(id: u64, children: u64) -> u64 {
    (id - 1) / children + 1
}

fn user(id: u64, writer: &mut Writer) -> Value {
    // There are fewer users than names: each has its own.
    let given = GIVEN_NAMES[id as usize % GIVEN_NAMES.len()];
    let surname = SURNAMES[id as usize * 7 % SURNAMES.len()];
    let username = format!("{}{}", given.to_lowercase(), id * 11);
    let street = writer.place();
    let city = writer.place();
    json!({
        "id": id,
        "name": format!("{given} {surname}"),
        "username": username,
        "email": format!("{username}@mail.example"),
        "address": {
            "street": format!("{street} Street"),
            "suite": format!("Room {}", 100 + writer.below(800)),
            "city": format!("{city}ton"),
            "zipcode": format!("{:05}", writer.below(100_000)),
            "geo": {
                "lat": format!("{:.4}", writer.below(1_800_000) as f64 / 10_000.0 - 90.0),
                "lng": format!("{:.4}", writer.below(3_600_000) as f64 / 10_000.0 - 180.0),
            },
        },
        "phone": format!("1-555-01{:02} x{}", writer.below(100), 100 + writer.below(900)),
        "website": format!("{username}.example"),
        "company": {
            "name": format!("{surname} and {}", writer.one_of(&SURNAMES)),
            "catchPhrase": writer.title(),
            "bs": writer.title(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_belong_in_equal_parts() {
        assert_eq!(row(Resource::Comments, 5)["postId"], 1);
        assert_eq!(row(Resource::Comments, 6)["postId"], 2);
        assert_eq!(row(Resource::Photos, 5000)["albumId"], 100);
        assert_eq!(row(Resource::Todos, 200)["userId"], 10);
    }

    #[test]
    fn a_row_is_the_same_every_time() {
        assert_eq!(row(Resource::Users, 3), row(Resource::Users, 3));
        assert_ne!(row(Resource::Posts, 3)["body"], row(Resource::Posts, 4)["body"]);
        assert_ne!(row(Resource::Posts, 3)["title"], row(Resource::Albums, 3)["title"]);
    }
}
