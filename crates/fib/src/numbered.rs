//! Values under small numbers: looked up by place, for every route asks for its set several times on its way.

/// See the module. A number is given out again as soon as it is free.
#[derive(Debug)]
pub(crate) struct Numbered<T> {
    values: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self { values: Vec::new(), free: Vec::new() }
    }
}

impl<T> Numbered<T> {
    #[inline]
    pub(crate) fn get(&self, id: u32) -> Option<&T> {
        self.values.get(usize::try_from(id).ok()?)?.as_ref()
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, id: u32) -> Option<&mut T> {
        self.values.get_mut(usize::try_from(id).ok()?)?.as_mut()
    }

    /// Takes a value in; says its number.
    pub(crate) fn insert(&mut self, value: T) -> u32 {
        if let Some(id) = self.free.pop()
            && let Ok(place) = usize::try_from(id)
            && let Some(vacant) = self.values.get_mut(place)
        {
            *vacant = Some(value);
            return id;
        }
        // Each value has a route, and of those there are no more than numbers.
        let id = u32::try_from(self.values.len()).unwrap_or(u32::MAX);
        self.values.push(Some(value));
        id
    }

    pub(crate) fn remove(&mut self, id: u32) -> Option<T> {
        let value = self.values.get_mut(usize::try_from(id).ok()?)?.take()?;
        self.free.push(id);
        Some(value)
    }

    /// By number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0..).zip(&self.values).filter_map(|(id, value)| Some((id, value.as_ref()?)))
    }

    /// By number.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut T)> {
        (0..).zip(&mut self.values).filter_map(|(id, value)| Some((id, value.as_mut()?)))
    }
}
