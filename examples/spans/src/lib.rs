//! A customer's way through a shop: prepared values, set-up, data rows, spans and failures in one task.
//!
//! Every operation is one user of `users.csv` who signs in, looks for what is in the basket, and pays.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::Duration;

use gorgon_guest::{data, fail, prepared, span};

/// What things cost, in cents. Built once per instance.
static CATALOGUE: OnceLock<BTreeMap<&str, u64>> = OnceLock::new();

/// Once per run: the season that all operations share.
#[gorgon_guest::prepare]
fn open_shop() -> String {
    "winter".to_owned()
}

#[gorgon_guest::setup]
fn print_catalogue() {
    CATALOGUE.get_or_init(|| BTreeMap::from([("apple", 40), ("bread", 350), ("cheese", 780), ("wine", 1_290)]));
}

#[gorgon_guest::operation]
fn buy(n: u64) -> Result<&'static str, &'static str> {
    // An `Err` is the result of a failed operation, like any other result a line of its own in the report.
    let customer = data::row_for(n).ok_or("run me with --data users.csv")?;

    let sign_in = span("sign in");
    let session = sign(&customer["user"], &prepared());
    sleep(Duration::from_millis(1));
    sign_in.end();

    let Some(total) = search(&customer["basket"]) else {
        // The reason is for people and may differ each time; the result is what the report groups by.
        fail(format_args!("{} of {} wants what we do not have", customer["user"], customer["city"]));
        return Ok("sold out");
    };

    // Ends when it is dropped, at the end of the function.
    let _pay = span("pay");
    sleep(Duration::from_millis(2 + session % 3));
    Ok(if total < 1_000 { "small order" } else { "large order" })
}

/// Once per run, with what `open_shop` returned.
#[gorgon_guest::cleanup]
fn close_shop(season: &str) {
    println!("the {season} season is over");
}

/// A session's number: FNV-1a of user and season, many times over, as a password hash would.
fn sign(user: &str, season: &str) -> u64 {
    const ROUNDS: usize = 1_000;
    let bytes = user.bytes().chain(season.bytes());
    bytes
        .cycle()
        .take(ROUNDS)
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// The price of a basket such as `apple, wine`; `None` if we do not have all of it.
fn search(basket: &str) -> Option<u64> {
    let _search = span("search");
    let catalogue = CATALOGUE.get()?;
    basket.split(", ").map(|thing| catalogue.get(thing)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use gorgon_guest::testing::{set_data, set_prepared, take_failure};

    fn shop(basket: &str) {
        set_prepared(open_shop());
        set_data(["user", "city", "basket"], &[["ann", "Oslo", basket]]);
        print_catalogue();
    }

    #[test]
    fn orders_are_small_or_large() {
        shop("apple, bread");
        assert_eq!(buy(0), Ok("small order"));
        shop("wine");
        assert_eq!(buy(1), Ok("large order"));
        assert_eq!(take_failure(), None);
    }

    #[test]
    fn what_the_shop_does_not_have_fails_the_operation() {
        shop("unicorn");
        assert_eq!(buy(0), Ok("sold out"));
        assert_eq!(take_failure().as_deref(), Some("ann of Oslo wants what we do not have"));
    }

    #[test]
    fn without_data_the_result_says_what_to_do() {
        assert_eq!(buy(0), Err("run me with --data users.csv"));
    }
}
