//! Bytes written down so that people can read them.

/// The escapes of the file. `\{f*N}` is N header fields, any other character repeats itself.
pub fn bytes(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        rest = rest.get(first.len_utf8()..).unwrap();
        if first != '\\' {
            out.extend(first.to_string().bytes());
            continue;
        }
        let (kind, after) = rest.split_at(1);
        rest = after;
        match kind {
            "r" => out.push(b'\r'),
            "n" => out.push(b'\n'),
            "t" => out.push(b'\t'),
            "0" => out.push(0),
            "\\" => out.push(b'\\'),
            "x" => {
                let (digits, after) = rest.split_at(2);
                out.push(u8::from_str_radix(digits, 16).unwrap());
                rest = after;
            }
            "{" => {
                let (repeated, after) = rest.split_once('}').unwrap();
                let (what, count) = repeated.split_once('*').unwrap();
                let what = if what == "f" { "F: g\r\n" } else { what };
                out.extend(what.repeat(count.parse().unwrap()).bytes());
                rest = after;
            }
            other => panic!("{other:?} is no escape"),
        }
    }
    out
}
