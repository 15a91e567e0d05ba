//! Wrong in every stage: it is busy for ever, and listens nowhere.

fn main() {
    loop {
        std::hint::spin_loop();
    }
}
