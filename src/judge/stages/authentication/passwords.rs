//! Users and passwords (RFC 7617).

use super::house::House;
use super::shown::Bad;
use super::users::{User, encoded};
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;

/// Users as they are in the world: with a colon in the password, with letters that are not
/// ASCII; and the scheme in any case.
pub async fn good_password(scene: &Scene) -> Outcome {
    let draw = &scene.draw;
    let colons = User::new(draw, draw.word(), format!("{}:{}:", draw.word(), draw.word()));
    let name = format!("{}{}", draw.word(), draw.pick(&["ö", "é", "ñ", "王", "ж"]));
    let letters = User::new(draw, name, format!("{} пароль {}", draw.word(), draw.word()));
    let house = House::start(scene, vec![colons, letters]).await?;
    let staff = &house.doors.staff;
    for (user, id) in
        staff.users.iter().zip(["good-password-refused", "colon-in-password", "not-only-ascii"])
    {
        let what = format!("{}:{}", user.name, user.password);
        let exchange = house.opens(&staff.door, &user.credential(), id, &what).await?;
        house.told(&staff.door, &exchange, &user.name)?;
    }
    let partners = &house.doors.partners;
    let user = partners.user();
    let what = format!("{}:{}", user.name, user.password);
    let refused = "good-password-refused";
    let exchange = house.opens(&partners.door, &user.credential(), refused, &what).await?;
    house.told(&partners.door, &exchange, &user.name)?;

    for scheme in ["basic", "BASIC"] {
        let credential = format!("{scheme} {}", staff.user().encoded());
        let what = format!("{scheme} …");
        house.opens(&staff.door, &credential, "scheme-by-the-letter", &what).await?;
    }
    Ok(())
}

/// What is nearly right is wrong.
pub async fn wrong_password(scene: &Scene) -> Outcome {
    let draw = &scene.draw;
    let house = House::start(scene, vec![User::drawn(draw)]).await?;
    let staff = &house.doors.staff;
    house.password_opens(staff).await?;
    let (user, other) = (staff.user(), &staff.users[1]);
    let another = format!("{}{}", draw.word(), draw.number(10..100));
    let cut = &user.password[..user.password.len() - 1];
    let wrong = |id, password: &str, what: &str| Bad {
        id,
        what: format!("{}:{password} ({what})", user.name),
        credential: user.with(password),
    };
    let stranger = format!("{}-{}", draw.word(), draw.number(10..100));
    let unknown = |name: &str, password: &str| Bad {
        id: "unknown-user-passes",
        what: format!("{name}:{password}"),
        credential: format!("Basic {}", encoded(format!("{name}:{password}"))),
    };
    let bad = vec![
        wrong("wrong-password-passes", &another, "another"),
        wrong("wrong-password-passes", &other.password, "somebody else's"),
        wrong("wrong-password-passes", "", "none"),
        wrong("hash-as-password", &user.hash, "the hash"),
        wrong("password-in-part", cut, "without its last letter"),
        wrong("password-in-part", &format!("{}x", user.password), "one letter more"),
        wrong("password-in-part", &format!("{} ", user.password), "a space more"),
        unknown(&stranger, &user.password),
        unknown(&stranger, &other.password),
        unknown("", &user.password),
    ];
    house.stays_shut(&staff.door, bad).await
}
