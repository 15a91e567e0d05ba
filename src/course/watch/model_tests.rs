use super::*;

/// A watch of the first stage.
pub(in super::super) fn begun() -> Model {
    let lesson = &lesson::all()[0];
    Model::begin(lesson, &Progress::default(), Language::En, || 7).0
}

pub(in super::super) use crate::course::trial::sample::report;

pub(in super::super) fn done(model: &mut Model, fails: Option<&str>) -> Vec<Effect> {
    let report = report(model.lesson, fails);
    model.on(Input::Done(model.generation, Box::new(report)))
}

fn compiling(done: usize) -> Event {
    Event::Build(build::Event::Compiling { names: String::new(), done, total: 238 })
}

#[test]
fn what_an_older_trial_says_is_dropped() {
    let mut model = begun();
    let (old, late) = (model.generation, report(model.lesson, None));
    assert!(matches!(model.on(Input::Saved)[..], [Effect::Judge(order)] if order.generation > old));
    assert!(model.on(Input::Done(old, Box::new(late))).is_empty());
    model.on(Input::Trial(old, Event::Judge(judge::Progress::Begun("starts"))));
    model.on(Input::Untried(old, "no".to_owned()));
    assert!(model.report.is_none());
    assert_eq!(model.phase, Phase::Starting);
    assert_eq!(model.marks, vec![Mark::Waiting; 5]);
    assert_eq!(model.passed_count(), 0);
}

#[test]
fn a_save_makes_the_verdict_the_one_before() {
    let mut model = begun();
    assert!(matches!(done(&mut model, Some("forwards"))[..], [Effect::Note(_)]));
    assert_eq!(model.marks[1], Mark::Decided(State::Fail));
    model.on(Input::Saved);
    assert!(model.report.is_none() && model.previous.is_some());
    assert_eq!(model.marks, vec![Mark::Waiting; 5]);
    // A second save, before the first was judged, keeps it.
    model.on(Input::Saved);
    assert!(model.previous.is_some());
    done(&mut model, None);
    assert!(model.previous.is_none());
}

#[test]
fn next_and_the_solution_are_for_a_stage_that_is_passed() {
    let mut model = begun();
    done(&mut model, Some("starts"));
    for key in [Key::Next, Key::Keep, Key::Solution] {
        assert!(model.on(Input::Key(key)).is_empty());
        assert!(model.notice.is_some(), "{key:?}");
        assert_eq!(model.panel, Panel::Verdict);
    }
    done(&mut model, None);
    model.on(Input::Key(Key::Solution));
    assert_eq!(model.panel, Panel::Solution);
    let effects = model.on(Input::Key(Key::Next));
    assert!(matches!(effects[..], [Effect::Current("02-round-robin"), Effect::Judge(_)]));
    done(&mut model, None);
    let effects = model.on(Input::Key(Key::Keep));
    let [Effect::Carry(from, to), Effect::Current(current), Effect::Judge(_)] = effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!([from.id(), to.id(), current], ["02-round-robin", "03-health-checks", to.id()]);
    assert!(model.report.is_none() && model.previous.is_none());
    assert_eq!(model.panel, Panel::Verdict);
}

#[test]
fn the_first_h_shows_what_was_seen_and_the_next_one_more() {
    let mut model = begun();
    model.hints.insert(model.lesson.id().to_owned(), 2);
    assert!(model.on(Input::Key(Key::Hint)).is_empty());
    assert_eq!(model.hints_seen(), 2);
    assert!(matches!(model.on(Input::Key(Key::Hint))[..], [Effect::Hints(_, 3)]));
    for _ in 0..9 {
        model.on(Input::Key(Key::Hint));
    }
    assert_eq!(model.hints_seen(), model.lesson.hints.len());
    assert!(model.notice.is_some());
}

#[test]
fn only_a_build_of_dependencies_opens_the_lesson() {
    let mut model = begun();
    model.on(Input::Trial(1, compiling(237)));
    assert_eq!(model.panel, Panel::Verdict, "only the stage itself is left");
    model.on(Input::Trial(1, compiling(45)));
    assert_eq!(model.panel, Panel::Lesson);
    done(&mut model, None);
    assert_eq!(model.panel, Panel::Verdict);
    // Who reads is left to read.
    let mut model = begun();
    model.on(Input::Trial(1, compiling(45)));
    model.measured(10, 100);
    model.on(Input::Key(Key::Down));
    done(&mut model, None);
    assert_eq!((model.panel, model.scroll), (Panel::Lesson, 1));
}

#[test]
fn scrolling_ends_at_both_ends() {
    let mut model = begun();
    model.on(Input::Key(Key::Lesson));
    model.measured(10, 25);
    for (key, at) in [
        (Key::Up, 0),
        (Key::PageDown, 9),
        (Key::PageDown, 15),
        (Key::Down, 15),
        (Key::Home, 0),
        (Key::End, 15),
    ] {
        model.on(Input::Key(key));
        assert_eq!(model.scroll, at, "{key:?}");
    }
}

#[test]
fn another_command_moves_the_watch_on() {
    let mut model = begun();
    let mut progress = Progress::default();
    progress.current = Some("01-first-proxy".to_owned());
    assert!(model.on(Input::Progress(progress.clone())).is_empty());
    progress.current = Some("03-health-checks".to_owned());
    assert!(matches!(model.on(Input::Progress(progress))[..], [Effect::Judge(_)]));
    assert_eq!(model.lesson.id(), "03-health-checks");
}
