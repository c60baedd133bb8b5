//! The order in which services start: an order that is the file's own where dependencies leave a choice, or the cycle that forbids one.

use super::Check;
use crate::manifest::fault::shown;

impl Check<'_> {
    /// Returns the indices of the services in start order, unless dependencies go round.
    pub(super) fn order(&mut self) -> Option<Vec<usize>> {
        let services = &self.document.services;
        let index_of = |name: &String| services.iter().position(|service| service.name == *name);
        let needs: Vec<Vec<usize>> = services
            .iter()
            .map(|service| service.depends_on.iter().filter_map(index_of).collect())
            .collect();
        let mut order: Vec<usize> = Vec::new();
        while order.len() < services.len() {
            let next = needs.iter().enumerate().position(|(index, needs)| {
                !order.contains(&index) && needs.iter().all(|needed| order.contains(needed))
            });
            let Some(next) = next else {
                self.cycle(&needs, &order);
                return None;
            };
            order.push(next);
        }
        Some(order)
    }

    /// Tells a cycle among the services that are not in `order`: each of them needs one that is not.
    fn cycle(&mut self, needs: &[Vec<usize>], order: &[usize]) {
        let open = |index: &usize| !order.contains(index);
        let Some(mut at) = (0..needs.len()).find(open) else {
            return;
        };
        let mut way = Vec::new();
        while !way.contains(&at) {
            way.push(at);
            match needs
                .get(at)
                .and_then(|needs| needs.iter().copied().find(open))
            {
                Some(next) => at = next,
                None => return,
            }
        }
        let start = way
            .iter()
            .position(|&index| index == at)
            .unwrap_or_default();
        let names: Vec<String> = way
            .iter()
            .skip(start)
            .chain([&at])
            .filter_map(|&index| self.document.services.get(index))
            .map(|service| shown(&service.name))
            .collect();
        let message = format!("services wait for each other: {}", names.join(" -> "));
        let path = format!("services[{at}].dependsOn");
        self.fault(
            &path,
            message,
            "take one of these dependencies away".to_owned(),
        );
    }
}
