//! What a peer of two-octet AS numbers has split, put together: RFC 6793 section 4.2.3, read a second time, over words.
//!
//! routecore gives both paths as they were sent. This shares nothing with `bgp-wire`, which merges while it decodes.

use crate::Reading;

/// AS_TRANS, in front of the router.
const NO_ROOM: &str = "23456 ";

/// The hops of a path: the numbers of sequences one by one, other segments whole. Two sequences that meet may be one.
pub(crate) fn hops(path: &str) -> Vec<&str> {
    let segments = path.split(' ').filter(|segment| !segment.is_empty());
    segments
        .flat_map(|segment| match segment.strip_prefix("SEQUENCE(") {
            Some(numbers) => numbers.trim_end_matches(')').split(',').collect(),
            None => vec![segment],
        })
        .collect()
}

fn of_confederation(hop: &str) -> bool {
    hop.starts_with("CONFED")
}

/// The hops of AS_PATH, and AGGREGATOR, as the peer would have sent them without its limit.
pub(crate) fn merged(sent: &Reading) -> (Vec<&str>, Option<&str>) {
    let text = |name| sent.attributes.get(name).map(String::as_str);
    let path = hops(text("as_path").unwrap_or_default());
    let (two, four) = (text("aggregator"), text("as4_aggregator"));
    // An AGGREGATOR that had room: whoever aggregated knew nothing of the two others, and they are ignored.
    if four.is_some() && two.is_some_and(|two| !two.starts_with(NO_ROOM)) {
        return (path, two);
    }
    let aggregator = two.map(|two| four.unwrap_or(two));
    let mut longer = hops(text("as4_path").unwrap_or_default());
    longer.retain(|hop| !of_confederation(hop));
    let count = path.iter().filter(|hop| !of_confederation(hop)).count();
    let Some(mut before) = count.checked_sub(longer.len()) else { return (path, aggregator) };
    let leading = path.into_iter().take_while(|hop| {
        let counts = !of_confederation(hop);
        let taken = !counts || before > 0;
        before -= usize::from(counts && taken);
        taken
    });
    (leading.chain(longer).collect(), aggregator)
}
