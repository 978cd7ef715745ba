//! Namespaces that take the place of others while a server runs: what rooms keep is kept in the
//! classes that its engine was started with. Used by the reload.

use crate::namespace::history::Log;
use crate::namespace::{Class, Kept, Namespace, NamespaceTable, Namespaces};
use std::sync::Arc;

impl Namespaces {
    /// These namespaces with the classes of `first`. `None`: rooms of one would keep what no room
    /// of those does.
    pub(crate) fn with_classes_of(&self, first: &Namespaces) -> Option<Namespaces> {
        let NamespaceTable {
            default,
            named,
            void,
            changes_maps,
            kept: _,
        } = &*self.0;
        let mut kept = first.0.kept.clone();
        let mut again = |class: &Class, prefix: Option<&str>| {
            Class::new(class.namespace.clone(), prefix, &mut kept)
        };
        let default = again(default, None);
        let named = named
            .iter()
            .map(|(name, class)| (name.clone(), again(class, Some(name))));
        let named = named.collect();
        let void = void.as_ref().map(|void| again(void, None));
        (kept == first.0.kept).then(|| {
            Namespaces(Arc::new(NamespaceTable {
                default,
                named,
                void,
                changes_maps: *changes_maps,
                kept,
            }))
        })
    }

    /// Whether rooms of such a namespace would keep what rooms of these do, or nothing.
    pub(crate) fn have_classes_of(&self, namespace: &Namespace) -> bool {
        let mut kept: Kept = self.0.kept.clone();
        // The prefix says nothing of what is kept.
        let _class = Class::new(namespace.clone(), None, &mut kept);
        kept == self.0.kept
    }
}

impl Namespace {
    /// Whether rooms of this namespace keep what rooms of the other do.
    pub(crate) fn keeps_as(&self, other: &Namespace) -> bool {
        let log = |of: &Namespace| Log::of(of.history, of.slow_reader, of.map);
        log(self) == log(other) && self.presence_events == other.presence_events
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::namespace::{History, Who};

    fn keeping(publications_max: u32) -> Namespace {
        Namespace {
            history: Some(History {
                publications_max,
                ..History::default()
            }),
            ..Namespace::default()
        }
    }

    fn of(named: &[(&str, Namespace)]) -> Namespaces {
        let named = named.iter().cloned();
        Namespaces::new(Namespace::default(), named).expect("they obey the rules")
    }

    #[test]
    fn rooms_keep_what_they_keep_in_the_classes_of_the_first() {
        let first = of(&[("a", keeping(1)), ("b", keeping(2))]);
        let class = |namespaces: &Namespaces, room| {
            let found = namespaces.class(room).expect("a namespace");
            found.log
        };
        // By itself the only one would be the first.
        let strict = Namespace {
            join: Who::Nobody,
            ..keeping(2)
        };
        let next = of(&[("b", strict.clone()), ("c", Namespace::default())]);
        assert_ne!(class(&next, "b:x"), class(&first, "b:x"));
        let next = next.with_classes_of(&first).expect("they are all there");
        assert_eq!(class(&next, "b:x"), class(&first, "b:x"));
        assert_eq!(class(&next, "c:x"), None);
        assert_eq!(next.get("b").map(|b| &b.join), Some(&Who::Nobody));
        assert_eq!(next.logs(1_000), first.logs(1_000));
        assert_eq!(of(&[("a", keeping(3))]).with_classes_of(&first), None);
        for (namespace, are_there) in [
            (Namespace::default(), true),
            (keeping(1), true),
            (strict, true),
            (keeping(3), false),
        ] {
            assert_eq!(first.have_classes_of(&namespace), are_there);
        }
        assert!(keeping(1).keeps_as(&keeping(1)) && !keeping(1).keeps_as(&keeping(2)));
    }
}
