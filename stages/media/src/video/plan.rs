//! Which packets the decoder needs for the wanted frames.
//!
//! Between two places where decoding can begin anew ([`Start`]), nothing behind the last wanted frame is needed, and nothing at all where
//! there is none. Before it, pictures that no other refers to are not needed. What brings new parameters is decoded in any case, with all that it
//! depends on: a change of size has to be seen.

use super::predict::Entry;
use super::role::Start;

/// What becomes of one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// It is not needed.
    Drop,
    /// It is decoded.
    Decode,
    /// It is decoded if it turns out that another picture refers to it.
    Refer,
    /// All that is in the decoder comes out, and it is decoded without what came before.
    Anew,
}

/// What becomes of each packet; `wanted` says of a packet whether its frame is wanted.
pub(crate) fn plan(entries: &[Entry], wanted: impl Fn(&Entry) -> bool) -> Vec<Action> {
    let top = entries.iter().map(|e| e.role.layer).max().unwrap_or(0);
    let mut actions = vec![Action::Drop; entries.len()];
    // Whether something was sent, and whether anything was left out since then.
    let (mut sent, mut cut) = (false, false);
    let mut first = 0;
    while first < entries.len() {
        let end = (first + 1..entries.len()).find(|&i| can_begin(entries, i, &wanted)).unwrap_or(entries.len());
        let part = &entries[first..end];
        let needed = part.iter().rposition(|e| wanted(e) || e.role.renews).map_or(0, |last| last + 1);
        let open = part[0].role.start == Start::Open && can_begin(entries, first, &wanted);
        // Leading pictures of the place where this part begins, not of another that could not begin one.
        let leading = part[1..].iter().position(|e| e.role.start != Start::No).map_or(part.len(), |i| i + 1);
        for (i, (entry, action)) in part.iter().zip(&mut actions[first..]).take(needed).enumerate() {
            let unneeded = entry.role.unreferenced == Some(top) || open && i < leading && entry.role.leading;
            *action = match () {
                () if wanted(entry) || entry.role.renews => Action::Decode,
                () if unneeded => Action::Drop,
                () => Action::Refer,
            };
        }
        if needed > 0 {
            if open && sent && cut {
                actions[first] = Action::Anew;
            }
            (sent, cut) = (true, false);
        }
        cut |= needed < part.len();
        first = end;
    }
    actions
}

/// Whether decoding can begin anew with packet `i`: nothing that is wanted behind it refers to anything before it.
fn can_begin(entries: &[Entry], i: usize, wanted: &impl Fn(&Entry) -> bool) -> bool {
    match entries[i].role.start {
        Start::No => false,
        Start::Closed => true,
        Start::Open => {
            let behind = entries[i + 1..].iter().take_while(|e| e.role.start == Start::No);
            !behind.filter(|e| e.role.leading).any(|e| wanted(e) || e.role.renews)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::role::Role;
    use super::*;

    /// `I` closed, `C` open, `P` picture, `b` unreferenced, `B` unreferenced in layer 1, `L` leading, `N` picture with new parameters.
    fn entries(kinds: &str) -> Vec<Entry> {
        let role = |kind| {
            let role = Role::default();
            match kind {
                'I' => Role { start: Start::Closed, ..role },
                'C' => Role { start: Start::Open, ..role },
                'P' => role,
                'b' => Role { unreferenced: Some(0), ..role },
                'B' => Role { unreferenced: Some(1), layer: 1, ..role },
                'L' => Role { leading: true, ..role },
                'N' => Role { renews: true, ..role },
                _ => panic!("{kind}"),
            }
        };
        let entry = |(i, kind)| Entry {
            pts: Some(i as i64),
            dts: None,
            duration: 1,
            size: 1,
            key: false,
            discard: false,
            corrupt: false,
            role: role(kind),
        };
        kinds.chars().enumerate().map(entry).collect()
    }

    /// `.` dropped, `d` decoded, `r` decoded if referred to, `A` decoded anew. A `*` behind a packet says that it is wanted.
    fn planned(kinds: &str) -> String {
        let entries_only = entries(&kinds.replace('*', ""));
        let mut wanted = Vec::new();
        for kind in kinds.chars() {
            if kind == '*' { *wanted.last_mut().expect("a packet") = true } else { wanted.push(false) }
        }
        plan(&entries_only, |e| wanted[e.pts.expect("set") as usize])
            .iter()
            .map(|action| match action {
                Action::Drop => '.',
                Action::Decode => 'd',
                Action::Refer => 'r',
                Action::Anew => 'A',
            })
            .collect()
    }

    #[test]
    fn nothing_behind_the_last_wanted_of_a_part() {
        assert_eq!(planned("IPP*PPIPPP*PIPP"), "rrd..rrrd....");
    }

    #[test]
    fn parts_without_a_wanted_frame_are_left_out() {
        assert_eq!(planned("IPPIP*PIPP"), "...rd....");
        assert_eq!(planned("IPPP"), "....");
        assert_eq!(planned(""), "");
    }

    #[test]
    fn unreferenced_pictures_only_where_wanted() {
        assert_eq!(planned("IPbb*P*b"), "rr.dd.");
        // Those of the lower layer may be referred to by the upper one.
        assert_eq!(planned("IPbBB*P*b"), "rrr.dd.");
    }

    #[test]
    fn open_places_begin_anew_if_no_leading_picture_is_wanted() {
        assert_eq!(planned("CP*PPCLLPP*"), "rd..A..rd");
        assert_eq!(planned("CP*PPCLL*PP*"), "rdrrrrdrd");
        assert_eq!(planned("CPP*CLLPP*"), "rrdr..rd", "nothing was left out before it");
        assert_eq!(planned("CPPPCLLPP*"), "....r..rd", "nothing was sent before it");
        // Two in a row, the first of which cannot begin a part: its leading pictures are needed.
        assert_eq!(planned("CPCL*PCLP*"), "rrrd.A.d");
    }

    #[test]
    fn new_parameters_are_decoded() {
        assert_eq!(planned("IPNPIP*P"), "rrd.rd.");
        assert_eq!(planned("CP*PCLNLP"), "rd.A.d..");
    }

    #[test]
    fn packets_of_unknown_syntax_are_decoded_up_to_the_last_that_matters() {
        assert_eq!(planned("PPP*PPNPP*PP"), "rrdrrdrd..");
    }
}
