//! A model that knows a few synonyms and nothing else.

/// Numbers per vector.
pub const DIMS: usize = 16;

/// Words of one meaning; each meaning has a number of its own.
const MEANINGS: [&[&str]; 8] = [
    &["crash", "crashes", "segfault", "abort", "panic"],
    &["slow", "sluggish", "latency", "takes", "forever"],
    &["login", "authentication", "password", "signin"],
    &["picture", "image", "photo", "thumbnail"],
    &["database", "storage", "sqlite"],
    &["translate", "translation", "language", "locale"],
    &["window", "dialog", "popup"],
    &["network", "connection", "socket"],
];

/// The vector of a text; not of unit length.
#[must_use]
pub fn vector(text: &str) -> Vec<f32> {
    let mut vector = vec![0.0_f32; DIMS];
    for word in text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
    {
        let word = word.to_lowercase();
        let meaning = MEANINGS.iter().position(|words| words.contains(&word.as_str()));
        // What it does not know is noise, in the numbers that no meaning has.
        let (at, weight) = match meaning {
            Some(meaning) => (meaning, 4.0),
            None => (MEANINGS.len() + word.len() % (DIMS - MEANINGS.len()), 0.5),
        };
        if let Some(number) = vector.get_mut(at) {
            *number += weight;
        }
    }
    vector
}
