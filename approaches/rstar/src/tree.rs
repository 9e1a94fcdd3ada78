//! The tree of steps, and what is known of each.

use pointsman_approach::Dice;
use pointsman_approach::text::final_answer;

/// A kind of step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Step,
    Finish,
    Ask,
    Review,
    Rephrase,
}

/// The place where the next line of reasoning begins to grow.
pub(crate) enum Start {
    /// At this node, whose step is still to be asked for.
    New(usize),
    /// Nowhere: it comes to this end, which is known.
    Known(usize),
    /// Below a node whose step is not there yet.
    Later,
}

#[derive(Debug)]
struct Node {
    parent: usize,
    action: Action,
    children: Vec<usize>,
    depth: u32,
    /// None until the model has said it.
    step: Option<String>,
    /// The line that ends there.
    line: Option<usize>,
    visits: u32,
    value: f64,
}

/// Nodes at their indices; the first is the root, before any step.
#[derive(Debug)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
    max_depth: u32,
    exploration: f64,
}

const ROOT: usize = 0;

impl Tree {
    pub(crate) fn new(max_depth: u32, exploration: f64) -> Self {
        let (action, step) = (Action::Step, Some(String::new()));
        let root =
            Node { parent: ROOT, action, children: Vec::new(), depth: 0, step, line: None, visits: 0, value: 0.0 };
        Self { nodes: vec![root], max_depth, exploration }
    }

    /// Descends by UCT to the first node with an action that was not tried, and draws one of these. Each node on the
    /// way counts as visited at once, so that those who descend before this line is worth anything go elsewhere.
    pub(crate) fn start(&mut self, dice: &mut Dice) -> Start {
        let mut at = ROOT;
        loop {
            let node = &self.nodes[at];
            if node.step.is_none() {
                return Start::Later;
            }
            if node.line.is_some() {
                self.visit(at);
                return Start::Known(at);
            }
            if !self.untried(at).is_empty() {
                let node = self.add(at, dice);
                self.visit(node);
                return Start::New(node);
            }
            let Some(next) = self.most_promising(at) else { return Start::Later };
            at = next;
        }
    }

    /// The node that comes next in a line that has grown to `parent`. The nodes before it count as visited by this line
    /// already.
    pub(crate) fn extend(&mut self, parent: usize, dice: &mut Dice) -> usize {
        let node = self.add(parent, dice);
        self.nodes[node].visits += 1;
        node
    }

    /// A new node, by an action that is drawn from those not tried at its parent; the last step that a line may have
    /// finishes it.
    fn add(&mut self, parent: usize, dice: &mut Dice) -> usize {
        let untried = self.untried(parent);
        let action = dice.pick(&untried).copied().unwrap_or(Action::Finish);
        let (index, depth) = (self.nodes.len(), self.nodes[parent].depth + 1);
        let node = Node { parent, action, children: Vec::new(), depth, step: None, line: None, visits: 0, value: 0.0 };
        self.nodes.push(node);
        self.nodes[parent].children.push(index);
        index
    }

    fn visit(&mut self, mut index: usize) {
        loop {
            self.nodes[index].visits += 1;
            if index == ROOT {
                return;
            }
            index = self.nodes[index].parent;
        }
    }

    fn untried(&self, index: usize) -> Vec<Action> {
        let node = &self.nodes[index];
        let possible: &[Action] = if node.depth + 1 >= self.max_depth {
            &[Action::Finish]
        } else if index == ROOT {
            &[Action::Step, Action::Finish, Action::Ask, Action::Rephrase]
        } else {
            &[Action::Step, Action::Finish, Action::Ask, Action::Review]
        };
        let tried = |action: &Action| node.children.iter().any(|child| self.nodes[*child].action == *action);
        possible.iter().copied().filter(|action| !tried(action)).collect()
    }

    fn most_promising(&self, index: usize) -> Option<usize> {
        let logarithm = f64::from(self.nodes[index].visits.max(1)).ln();
        let bound = |child: usize| {
            let visits = f64::from(self.nodes[child].visits.max(1));
            self.nodes[child].value / visits + self.exploration * (logarithm / visits).sqrt()
        };
        let mut best: Option<(usize, f64)> = None;
        for child in &self.nodes[index].children {
            if best.is_none_or(|(_, most)| bound(*child) > most) {
                best = Some((*child, bound(*child)));
            }
        }
        best.map(|(child, _)| child)
    }

    /// The text before a node, and the kind of step that is asked for there.
    pub(crate) fn question(&self, index: usize) -> (String, Action) {
        (self.text(self.nodes[index].parent), self.nodes[index].action)
    }

    pub(crate) fn say(&mut self, index: usize, step: &str) {
        self.nodes[index].step = Some(step.to_owned());
    }

    /// True when a line ends there: it may have no more steps, or says what its answer is.
    pub(crate) fn is_end(&self, index: usize) -> bool {
        let node = &self.nodes[index];
        let announces =
            |step: &String| step.to_ascii_lowercase().contains("final answer is") && final_answer(step).is_some();
        node.action == Action::Finish || node.depth >= self.max_depth || node.step.as_ref().is_some_and(announces)
    }

    pub(crate) fn end(&mut self, index: usize, line: usize) {
        self.nodes[index].line = Some(line);
    }

    /// The line that ends at a node.
    pub(crate) fn line(&self, index: usize) -> Option<usize> {
        self.nodes[index].line
    }

    /// Takes a node out whose step did not come. Its action may be tried again.
    pub(crate) fn abandon(&mut self, index: usize) {
        let parent = self.nodes[index].parent;
        self.nodes[parent].children.retain(|child| *child != index);
    }

    /// The steps from the root to a node.
    pub(crate) fn text(&self, mut index: usize) -> String {
        let mut steps = Vec::new();
        while index != ROOT {
            steps.extend(self.nodes[index].step.as_deref());
            index = self.nodes[index].parent;
        }
        steps.reverse();
        steps.join("\n\n")
    }

    /// Counts the worth of a line that ends at a node for each node on the way.
    pub(crate) fn learn(&mut self, mut index: usize, value: f64) {
        loop {
            self.nodes[index].value += value;
            if index == ROOT {
                return;
            }
            index = self.nodes[index].parent;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_is_tried_before_one_is_tried_again() {
        let (mut tree, mut dice) = (Tree::new(2, 1.4), Dice::new(1));
        let mut actions = Vec::new();
        while let Start::New(node) = tree.start(&mut dice) {
            actions.push(tree.question(node).1);
        }
        assert_eq!(actions.len(), 4, "then one is below a node that has not been said: {actions:?}");
        assert!(!actions.contains(&Action::Review), "{actions:?}");
    }

    #[test]
    fn a_line_ends_with_its_answer_or_when_it_may_not_go_on() {
        let (mut tree, mut dice) = (Tree::new(2, 1.4), Dice::new(1));
        let first = tree.extend(ROOT, &mut dice);
        tree.nodes[first].action = Action::Step;
        tree.say(first, "So far.");
        assert!(!tree.is_end(first));
        tree.say(first, "The final answer is 4.");
        assert!(tree.is_end(first));
        let second = tree.extend(first, &mut dice);
        assert_eq!(tree.question(second), ("The final answer is 4.".to_owned(), Action::Finish));
        assert!(tree.is_end(second));
    }

    #[test]
    fn what_is_worth_more_is_visited_more() {
        let (mut tree, mut dice) = (Tree::new(1, 0.1), Dice::new(1));
        let Start::New(only) = tree.start(&mut dice) else { unreachable!() };
        tree.say(only, "4");
        tree.end(only, 0);
        tree.learn(only, 1.0);
        assert!(matches!(tree.start(&mut dice), Start::Known(node) if node == only));
        assert_eq!((tree.nodes[only].visits, tree.nodes[ROOT].visits), (2, 2));
        tree.abandon(only);
        assert!(matches!(tree.start(&mut dice), Start::New(_)));
    }
}
