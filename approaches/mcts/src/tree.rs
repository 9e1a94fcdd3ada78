//! The tree of what may be said, and what is known of it.

/// One answer, and what the user would reply.
#[derive(Debug)]
pub(crate) struct Node {
    parent: usize,
    children: Vec<usize>,
    answer: String,
    /// None if the user says nothing more.
    reply: Option<String>,
    /// The number of games that went through it, of those among them that were rated, and the sum of their ratings.
    visits: u32,
    rated: u32,
    value: f64,
}

impl Node {
    pub(crate) fn new(parent: usize, answer: String, reply: Option<String>) -> Self {
        Self { parent, children: Vec::new(), answer, reply, visits: 0, rated: 0, value: 0.0 }
    }

    /// The mean rating of games through it; without any a half.
    fn mean(&self) -> f64 {
        if self.rated == 0 { 0.5 } else { self.value / f64::from(self.rated) }
    }
}

/// Nodes at their indices; the first is the root, which is the conversation as it is.
#[derive(Debug)]
pub(crate) struct Tree(Vec<Node>);

impl Tree {
    pub(crate) const ROOT: usize = 0;

    pub(crate) fn new() -> Self {
        Self(vec![Node::new(Self::ROOT, String::new(), None)])
    }

    pub(crate) fn add(&mut self, node: Node) {
        let (index, parent) = (self.0.len(), node.parent);
        self.0.push(node);
        self.0[parent].children.push(index);
    }

    pub(crate) fn children(&self, index: usize) -> &[usize] {
        &self.0[index].children
    }

    /// True when the dialogue goes on there, and nothing hangs there yet.
    pub(crate) fn may_grow(&self, index: usize) -> bool {
        self.0[index].children.is_empty() && self.0[index].reply.is_some()
    }

    /// The turns on the way to a node, from the root.
    pub(crate) fn turns(&self, mut index: usize) -> Vec<(String, Option<String>)> {
        let mut turns = Vec::new();
        while index != Self::ROOT {
            let node = &self.0[index];
            turns.push((node.answer.clone(), node.reply.clone()));
            index = node.parent;
        }
        turns.reverse();
        turns
    }

    /// The node at which the next game begins: from the root to the child with the highest upper bound each time, as
    /// long as the one that is reached was visited. The root itself in the first game.
    pub(crate) fn descend(&self, exploration: f64) -> usize {
        let mut at = Self::ROOT;
        while self.0[at].visits > 0 {
            let logarithm = f64::from(self.0[at].visits + 1).ln();
            let bound = |child: usize| {
                let Node { visits, .. } = self.0[child];
                let spread = if visits == 0 { f64::INFINITY } else { (logarithm / f64::from(visits)).sqrt() };
                // Also where nothing is to be explored everything is tried once.
                if visits == 0 { f64::INFINITY } else { self.0[child].mean() + exploration * spread }
            };
            let Some(next) = first_best(self.0[at].children.iter().copied(), bound) else { return at };
            at = next;
        }
        at
    }

    /// Takes down the rating of a game that went through a node, there and above; a game without one is only a visit.
    pub(crate) fn learn(&mut self, mut index: usize, rating: Option<f64>) {
        loop {
            let node = &mut self.0[index];
            node.visits += 1;
            if let Some(rating) = rating {
                node.rated += 1;
                node.value += rating;
            }
            if index == Self::ROOT {
                return;
            }
            index = node.parent;
        }
    }

    /// The place of the child of the root that was rated most often; of equals the one with the higher mean. None
    /// without a rating.
    pub(crate) fn best(&self) -> Option<usize> {
        let children = &self.0[Self::ROOT].children;
        let worth = |place: usize| {
            let node = &self.0[children[place]];
            // A mean is at most 1, and a rating more outweighs it.
            f64::from(node.rated) * 2.0 + node.mean()
        };
        let best = first_best(0..children.len(), worth)?;
        (self.0[children[best]].rated > 0).then_some(best)
    }
}

/// The first of those that are worth most.
fn first_best(items: impl Iterator<Item = usize>, worth: impl Fn(usize) -> f64) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    for item in items {
        let worth = worth(item);
        if best.is_none_or(|(_, most)| worth > most) {
            best = Some((item, worth));
        }
    }
    best.map(|(item, _)| item)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Tree {
        let mut tree = Tree::new();
        for answer in ["a", "b"] {
            tree.add(Node::new(Tree::ROOT, answer.to_owned(), Some("and?".to_owned())));
        }
        tree.add(Node::new(1, "a1".to_owned(), None));
        tree
    }

    #[test]
    fn it_descends_to_what_it_has_not_tried_and_then_to_what_is_good() {
        let mut tree = tree();
        assert_eq!(tree.descend(0.2), Tree::ROOT);
        tree.learn(3, Some(0.9));
        assert_eq!(tree.descend(0.2), 2);
        tree.learn(2, Some(0.1));
        assert_eq!(tree.descend(0.2), 3, "below the better one");
        // A lot of exploration goes to the one that it knows less of.
        tree.learn(3, Some(0.9));
        tree.learn(3, Some(0.9));
        assert_eq!(tree.descend(10.0), 2);
    }

    #[test]
    fn the_way_to_a_node_is_what_was_said() {
        let tree = tree();
        let and = || Some("and?".to_owned());
        assert_eq!(tree.turns(3), [("a".to_owned(), and()), ("a1".to_owned(), None)]);
        assert!(tree.may_grow(2) && !tree.may_grow(1) && !tree.may_grow(3));
    }

    #[test]
    fn the_one_that_was_rated_most_often_is_the_best() {
        let mut tree = tree();
        tree.learn(1, None);
        assert_eq!(tree.best(), None);
        tree.learn(2, Some(0.2));
        assert_eq!(tree.best(), Some(1));
        tree.learn(1, Some(0.3));
        assert_eq!(tree.best(), Some(0));
        tree.learn(2, Some(0.1));
        assert_eq!(tree.best(), Some(1));
    }
}
