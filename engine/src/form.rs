//! Forms: how the messages of a connection are encoded, as an index that only the application gives a meaning to. A room may have
//! members of all forms; a publication is encoded once in each form that is present, by [`crate::Application::encode`].
//!
//! Used by whoever keeps members or messages of several forms apart.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// How a connection's messages are encoded; the application chooses it when it accepts the connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Form(u8);

impl Form {
    /// Forms that one process may have.
    pub const COUNT_MAX: usize = 8;
    /// The form of whoever does not choose one.
    pub const FIRST: Form = Form(0);

    /// The form with this index.
    ///
    /// # Panics
    /// If the index is not below [`Form::COUNT_MAX`]. In a constant, that is an error of the compiler.
    pub const fn new(index: u8) -> Form {
        assert!((index as usize) < Form::COUNT_MAX, "there are 8 forms");
        Form(index)
    }

    /// Its index, 0..[`Form::COUNT_MAX`].
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// All that there may be.
    pub(crate) fn all() -> impl Iterator<Item = Form> + Clone {
        (0..Form::COUNT_MAX as u8).map(Form)
    }

    fn bit(self) -> u8 {
        1 << self.0
    }
}

/// A set of forms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Forms(u8);

const _: () = assert!(Form::COUNT_MAX == u8::BITS as usize);

impl Forms {
    pub(crate) fn has(self, form: Form) -> bool {
        self.0 & form.bit() != 0
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = Form> + Clone {
        Form::all().filter(move |form| self.has(*form))
    }
}

impl FromIterator<Form> for Forms {
    fn from_iter<I: IntoIterator<Item = Form>>(forms: I) -> Forms {
        Forms(forms.into_iter().fold(0, |set, form| set | form.bit()))
    }
}

/// How many open connections of each form the process has: shared by its shards, and touched once per connect and once per close.
#[derive(Clone, Debug, Default)]
pub(crate) struct FormsPresent(Arc<[AtomicU32; Form::COUNT_MAX]>);

impl FormsPresent {
    /// A connection opens, and its client has not heard of it yet. So a form is present for whoever handles a message that was sent, as
    /// far as anybody can tell, while a connection of it is open: all this is in one total order, hence the strongest ordering.
    pub(crate) fn add(&self, form: Form) {
        self.0[form.index()].fetch_add(1, Ordering::SeqCst);
    }

    /// A connection that was open is not open any more.
    pub(crate) fn remove(&self, form: Form) {
        let before = self.0[form.index()].fetch_sub(1, Ordering::SeqCst);
        debug_assert!(before > 0, "it was added");
    }

    pub(crate) fn has(&self, form: Form) -> bool {
        self.0[form.index()].load(Ordering::SeqCst) > 0
    }

    pub(crate) fn get(&self) -> Forms {
        Form::all().filter(|form| self.has(*form)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_present_while_somebody_has_it() {
        let present = FormsPresent::default();
        assert_eq!(present.get().iter().count(), 0);
        for index in [7, 2, 7] {
            present.clone().add(Form::new(index));
        }
        let indexes = || -> Vec<usize> { present.get().iter().map(Form::index).collect() };
        assert_eq!(indexes(), [2, 7]);
        present.remove(Form::new(7));
        assert_eq!(indexes(), [2, 7]);
        present.remove(Form::new(7));
        assert_eq!(indexes(), [2]);
        assert!(present.has(Form::new(2)) && !present.has(Form::new(7)));
    }
}
