//! The Mersenne Twister MT19937, as Python's `random` seeds and reads it.
//!
//! httpbin makes seeded bytes with it; with the same generator the same seed
//! gives the same bytes here. After M. Matsumoto and T. Nishimura, "Mersenne
//! Twister: a 623-dimensionally equidistributed uniform pseudo-random number
//! generator", 1998, with the initialization by array of 2002.

const SIZE: usize = 624;
const SHIFT: usize = 397;

pub(super) struct Twister {
    state: [u32; SIZE],
    next: usize,
}

impl Twister {
    /// Like `random.seed(number)`: the sign does not count.
    pub fn seeded(number: i64) -> Self {
        let magnitude = number.unsigned_abs();
        let low = magnitude as u32;
        let high = (magnitude >> 32) as u32;
        if high == 0 { Self::from_key(&[low]) } else { Self::from_key(&[low, high]) }
    }

    fn from_key(key: &[u32]) -> Self {
        let mut state = Self::from_word(19_650_218);
        let mut place = 1;
        let step = |state: &mut [u32; SIZE], place: &mut usize| {
            *place += 1;
            if *place == SIZE {
                state[0] = state[SIZE - 1];
                *place = 1;
            }
        };
        for (number, word) in (0..SIZE.max(key.len())).map(|turn| {
            let number = turn % key.len();
            (number as u32, key[number])
        }) {
            let mixed = spread(state[place - 1]).wrapping_mul(1_664_525);
            state[place] = (state[place] ^ mixed).wrapping_add(word).wrapping_add(number);
            step(&mut state, &mut place);
        }
        for _ in 1..SIZE {
            let mixed = spread(state[place - 1]).wrapping_mul(1_566_083_941);
            state[place] = (state[place] ^ mixed).wrapping_sub(place as u32);
            step(&mut state, &mut place);
        }
        state[0] = 1 << 31;
        Self { state, next: SIZE }
    }

    fn from_word(word: u32) -> [u32; SIZE] {
        let mut state = [word; SIZE];
        for place in 1..SIZE {
            let mixed = spread(state[place - 1]).wrapping_mul(1_812_433_253);
            state[place] = mixed.wrapping_add(place as u32);
        }
        state
    }

    /// Like `random.randint(0, 255)`: nine bits, drawn until they fit in eight.
    pub fn byte(&mut self) -> u8 {
        loop {
            if let Ok(byte) = u8::try_from(self.word() >> (32 - 9)) {
                return byte;
            }
        }
    }

    fn word(&mut self) -> u32 {
        if self.next == SIZE {
            self.turn();
        }
        let mut word = self.state[self.next];
        self.next += 1;
        word ^= word >> 11;
        word ^= (word << 7) & 0x9d2c_5680;
        word ^= (word << 15) & 0xefc6_0000;
        word ^ (word >> 18)
    }

    fn turn(&mut self) {
        for place in 0..SIZE {
            let joined =
                (self.state[place] & 0x8000_0000) | (self.state[(place + 1) % SIZE] & 0x7fff_ffff);
            let twist = if joined & 1 == 0 { 0 } else { 0x9908_b0df };
            self.state[place] = self.state[(place + SHIFT) % SIZE] ^ (joined >> 1) ^ twist;
        }
        self.next = 0;
    }
}

/// Lets the high bits of a word reach the low ones.
fn spread(word: u32) -> u32 {
    word ^ (word >> 30)
}

#[cfg(test)]
mod tests {
    use super::Twister;

    #[test]
    fn the_first_bytes_are_those_of_python() {
        // random.seed(n); [random.randint(0, 255) for _ in range(8)]
        let expected: [(i64, [u8; 8]); 3] = [
            (0, [197, 215, 20, 132, 248, 207, 155, 244]),
            (1, [68, 32, 130, 60, 253, 230, 241, 194]),
            (-123_456_789_012, [193, 10, 134, 71, 213, 102, 75, 229]),
        ];
        for (seed, bytes) in expected {
            let mut twister = Twister::seeded(seed);
            assert_eq!(std::array::from_fn(|_| twister.byte()), bytes, "seed {seed}");
        }
    }
}
