//! Forge times as text and back.
//!
//! Written apart from `annals-core`, so that the model does not repeat a mistake of the product.

use annals_core::UnixMs;

/// One day in milliseconds.
pub const DAY: i64 = 86_400_000;
/// One hour in milliseconds.
pub const HOUR: i64 = 3_600_000;
/// One minute in milliseconds.
pub const MINUTE: i64 = 60_000;

/// Midnight UTC at the start of a day.
#[must_use]
pub const fn date(year: i64, month: i64, day: i64) -> UnixMs {
    UnixMs(days_from_civil(year, month, day) * DAY)
}

/// `2024-03-04T09:12:00.000Z`, as GitLab prints times.
#[must_use]
pub fn stamp(at: UnixMs) -> String {
    let (day, rest) = (at.0.div_euclid(DAY), at.0.rem_euclid(DAY));
    format!("{}T{}Z", day_text(day), clock_text(rest))
}

/// `2024-03-04T11:12:00.000+02:00`, as GitLab prints the times of commits.
#[must_use]
pub fn stamp_in_zone(at: UnixMs, offset_minutes: i64) -> String {
    let local = at.0 + offset_minutes * MINUTE;
    let sign = if offset_minutes < 0 { '-' } else { '+' };
    let zone = offset_minutes.abs();
    let (day, rest) = (local.div_euclid(DAY), local.rem_euclid(DAY));
    format!(
        "{}T{}{sign}{:02}:{:02}",
        day_text(day),
        clock_text(rest),
        zone / 60,
        zone % 60
    )
}

/// `2024-03-04`, the day of `at`.
#[must_use]
pub fn day(at: UnixMs) -> String {
    day_text(at.0.div_euclid(DAY))
}

/// `Mon, 04 Mar 2024 09:12:00 GMT`, the form of the `Date` header.
#[must_use]
pub fn http_date(at: UnixMs) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let number = at.0.div_euclid(DAY);
    let (year, month, day) = civil_from_days(number);
    let seconds = at.0.rem_euclid(DAY) / 1000;
    let weekday = DAYS[usize::try_from(number.rem_euclid(7)).unwrap_or(0)];
    let month = MONTHS[usize::try_from(month - 1).unwrap_or(0)];
    format!(
        "{weekday}, {day:02} {month} {year} {:02}:{:02}:{:02} GMT",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

/// Reads `2024-03-04`, `2024-03-04T09:12`, with optional seconds, fraction and zone (none means UTC).
#[must_use]
pub fn parse(text: &str) -> Option<UnixMs> {
    let (day, time) = text.split_once(['T', ' ']).unwrap_or((text, ""));
    let mut parts = day.splitn(3, '-').map(str::parse::<i64>);
    let (year, month, date_of_month) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&date_of_month) {
        return None;
    }
    let midnight = days_from_civil(year, month, date_of_month) * DAY;
    if time.is_empty() {
        return Some(UnixMs(midnight));
    }
    let zone_at = time.find(['Z', 'z', '+', '-']).unwrap_or(time.len());
    let (clock, zone) = (time.get(..zone_at)?, time.get(zone_at..)?);
    let mut fields = clock.split(':');
    let hours: i64 = fields.next()?.parse().ok()?;
    let minutes: i64 = fields.next()?.parse().ok()?;
    let (seconds, fraction) = fields
        .next()
        .map_or(("0", ""), |s| s.split_once('.').unwrap_or((s, "")));
    let millis: i64 = if fraction.is_empty() {
        0
    } else {
        format!("{fraction:0<3}").get(..3)?.parse().ok()?
    };
    let since_midnight = hours * HOUR + minutes * MINUTE + seconds.parse::<i64>().ok()? * 1000 + millis;
    Some(UnixMs(midnight + since_midnight - zone_offset(zone)?))
}

fn zone_offset(zone: &str) -> Option<i64> {
    if zone.is_empty() || zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let digits: String = zone.chars().filter(char::is_ascii_digit).collect();
    let (hours, minutes) = (digits.get(..2)?, digits.get(2..).unwrap_or(""));
    let minutes: i64 = if minutes.is_empty() { 0 } else { minutes.parse().ok()? };
    Some(sign * (hours.parse::<i64>().ok()? * HOUR + minutes * MINUTE))
}

fn day_text(day: i64) -> String {
    let (year, month, day) = civil_from_days(day);
    format!("{year:04}-{month:02}-{day:02}")
}

fn clock_text(ms: i64) -> String {
    format!(
        "{:02}:{:02}:{:02}.{:03}",
        ms / HOUR,
        ms / MINUTE % 60,
        ms / 1000 % 60,
        ms % 1000
    )
}

// Both from Howard Hinnant's "chrono-compatible low-level date algorithms".
const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year - era * 400;
    let of_year = (153 * (month + (if month > 2 { -3 } else { 9 })) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

const fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days - era * 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_two_centuries_reads_back() {
        for number in -30_000..60_000_i64 {
            let at = UnixMs(number * DAY + 45_296_789);
            assert_eq!(parse(&stamp(at)).unwrap(), at);
        }
    }

    #[test]
    fn known_points_are_printed_as_known() {
        assert_eq!(stamp(UnixMs(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(date(2024, 2, 29).0, 1_709_164_800_000);
        assert_eq!(http_date(UnixMs(784_111_777_000)), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(stamp_in_zone(UnixMs(0), -330), "1969-12-31T18:30:00.000-05:30");
        assert_eq!(parse("1970-01-01T02:00:00+02:00"), Some(UnixMs(0)));
        assert_eq!(parse("1970-01-01T00:00:00.5Z"), Some(UnixMs(500)));
        assert_eq!(parse("1970-13-01"), None);
        assert_eq!(parse("soon"), None);
    }
}
