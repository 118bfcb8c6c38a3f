//! Where the steps of a drawing stand: in layers by level, so that edges cross little and lead far rarely.

use crate::dag::Dag;

/// How often the order within the layers is improved, down and up.
const SWEEPS: usize = 12;
/// How often the places are evened out.
const PULLS: usize = 10;
/// With more places than this, steps stay in step order and edges are straight.
const LARGE: usize = 20_000;

/// A drawing in units that the caller chooses: across the layers, and along them.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    /// Where each step stands within its layer, from 0.
    pub(super) places: Vec<f64>,
    /// How far the widest layer reaches.
    pub(super) width: f64,
    /// For each edge, the places at which it crosses the layers between its ends.
    pub(super) edges: Vec<Route>,
}

/// An edge and the way that it takes.
#[derive(Clone, Debug)]
pub(super) struct Route {
    pub(super) from: usize,
    pub(super) to: usize,
    /// A place on each layer between the two.
    pub(super) bends: Vec<f64>,
}

/// The graph with a place on every layer for every edge that crosses it.
struct Layers {
    /// The places of each layer in order; the first ones are steps, the others are crossings.
    layers: Vec<Vec<usize>>,
    level: Vec<usize>,
    above: Vec<Vec<usize>>,
    below: Vec<Vec<usize>>,
}

/// Lays the graph out.
pub(super) fn layout(dag: &Dag) -> Layout {
    let crossings: usize = dag
        .edges()
        .map(|(from, to)| (dag.levels()[to] - dag.levels()[from] - 1) as usize)
        .sum();
    let is_large = dag.len() + crossings > LARGE;
    let (mut layers, routes) = Layers::new(dag, is_large);
    if !is_large {
        layers.order();
    }
    let places = layers.places(is_large);
    let edges = routes.into_iter().map(|(from, to, bends)| Route {
        from,
        to,
        bends: bends.into_iter().map(|bend| places[bend]).collect(),
    });
    Layout {
        edges: edges.collect(),
        width: places.iter().copied().fold(0.0, f64::max),
        places: places[..dag.len()].to_vec(),
    }
}

impl Layers {
    /// Puts the steps into layers, with the crossings of edges, which are returned with their ends.
    fn new(dag: &Dag, is_large: bool) -> (Self, Vec<(usize, usize, Vec<usize>)>) {
        let mut level: Vec<usize> = dag.levels().iter().map(|level| *level as usize).collect();
        let depth = level.iter().max().map_or(0, |deepest| deepest + 1);
        let mut layers = vec![Vec::new(); depth];
        for (step, level) in level.iter().enumerate() {
            layers[*level].push(step);
        }
        let (mut above, mut below) = (vec![Vec::new(); dag.len()], vec![Vec::new(); dag.len()]);
        let mut routes = Vec::new();
        for (from, to) in dag.edges() {
            let mut bends = Vec::new();
            let mut last = from;
            let between = if is_large {
                0..0
            } else {
                level[from] + 1..level[to]
            };
            for crossed in between {
                let bend = level.len();
                level.push(crossed);
                layers[crossed].push(bend);
                above.push(vec![last]);
                below.push(Vec::new());
                below[last].push(bend);
                bends.push(bend);
                last = bend;
            }
            below[last].push(to);
            above[to].push(last);
            routes.push((from, to, bends));
        }
        let layers = Self {
            layers,
            level,
            above,
            below,
        };
        (layers, routes)
    }

    /// Orders each layer by the middle of what is above it, then of what is below it, and keeps the best order.
    fn order(&mut self) {
        let mut best = (self.crossings(), self.layers.clone());
        for sweep in 0..SWEEPS {
            let is_down = sweep % 2 == 0;
            let mut rank = vec![0.0; self.level.len()];
            for layer in &self.layers {
                for (index, place) in layer.iter().enumerate() {
                    rank[*place] = index as f64;
                }
            }
            let depth = self.layers.len();
            for turn in 1..depth {
                let layer = if is_down { turn } else { depth - 1 - turn };
                let neighbours = if is_down { &self.above } else { &self.below };
                let middle = |place: &usize| mean(&neighbours[*place], &rank).unwrap_or(rank[*place]);
                let mut keyed: Vec<(f64, usize)> = self.layers[layer]
                    .iter()
                    .map(|place| (middle(place), *place))
                    .collect();
                // The sort is stable, so a drawing does not depend on chance.
                keyed.sort_by(|left, right| left.0.total_cmp(&right.0));
                self.layers[layer] = keyed.into_iter().map(|(_, place)| place).collect();
                for (index, place) in self.layers[layer].iter().enumerate() {
                    rank[*place] = index as f64;
                }
            }
            let crossings = self.crossings();
            if crossings < best.0 {
                best = (crossings, self.layers.clone());
            }
        }
        self.layers = best.1;
    }

    /// Counts how often edges cross between neighbouring layers.
    fn crossings(&self) -> u64 {
        let mut rank = vec![0; self.level.len()];
        for layer in &self.layers {
            for (index, place) in layer.iter().enumerate() {
                rank[*place] = index;
            }
        }
        self.layers
            .iter()
            .map(|layer| self.crossings_below(layer, &rank))
            .sum()
    }

    /// Counts the inversions of the ends of the edges below a layer, with a tree of counts.
    fn crossings_below(&self, layer: &[usize], rank: &[usize]) -> u64 {
        let mut ends = Vec::new();
        for place in layer {
            let mut own: Vec<usize> = self.below[*place].iter().map(|below| rank[*below]).collect();
            own.sort_unstable();
            ends.extend(own);
        }
        let size = ends.iter().max().map_or(0, |most| most + 1);
        let mut tree = vec![0_u64; size + 1];
        let mut crossings = 0;
        for (seen, end) in ends.into_iter().enumerate() {
            let mut not_above = 0;
            let mut index = end + 1;
            while index > 0 {
                not_above += tree[index];
                index &= index - 1;
            }
            crossings += seen as u64 - not_above;
            let mut index = end + 1;
            while index <= size {
                tree[index] += 1;
                index += index & index.wrapping_neg();
            }
        }
        crossings
    }

    /// Moves places towards their neighbours, as far as order and distance permit.
    fn places(&self, is_large: bool) -> Vec<f64> {
        let mut places = vec![0.0; self.level.len()];
        let widest = self.layers.iter().map(Vec::len).max().unwrap_or(0);
        for layer in &self.layers {
            let margin = (widest - layer.len()) as f64 / 2.0;
            for (index, place) in layer.iter().enumerate() {
                places[*place] = index as f64 + margin;
            }
        }
        for pull in 0..if is_large { 0 } else { PULLS } {
            let depth = self.layers.len();
            for turn in 0..depth {
                let is_down = pull % 2 == 0;
                let layer = &self.layers[if is_down { turn } else { depth - 1 - turn }];
                let wanted = layer.iter().map(|place| {
                    let (above, below) = (
                        mean(&self.above[*place], &places),
                        mean(&self.below[*place], &places),
                    );
                    let (first, second) = if is_down { (above, below) } else { (below, above) };
                    first.or(second).unwrap_or(places[*place])
                });
                let spread = spread(&wanted.collect::<Vec<_>>());
                for (place, at) in layer.iter().zip(spread) {
                    places[*place] = at;
                }
            }
        }
        let least = places.iter().copied().fold(f64::INFINITY, f64::min);
        places.iter().map(|place| place - least).collect()
    }
}

fn mean(neighbours: &[usize], places: &[f64]) -> Option<f64> {
    if neighbours.is_empty() {
        return None;
    }
    Some(neighbours.iter().map(|neighbour| places[*neighbour]).sum::<f64>() / neighbours.len() as f64)
}

/// Returns the places in the same order, at least 1 apart, that are nearest to the wanted ones.
fn spread(wanted: &[f64]) -> Vec<f64> {
    // Without the distances this is a regression to ascending values: neighbours that are out of order are pooled.
    let mut pools: Vec<(f64, usize)> = Vec::new();
    for (index, place) in wanted.iter().enumerate() {
        let mut pool = (place - index as f64, 1);
        while let Some((sum, count)) =
            pools.pop_if(|(sum, count)| *sum / *count as f64 > pool.0 / pool.1 as f64)
        {
            pool = (pool.0 + sum, pool.1 + count);
        }
        pools.push(pool);
    }
    let means = pools
        .into_iter()
        .flat_map(|(sum, count)| std::iter::repeat_n(sum / count as f64, count));
    means
        .enumerate()
        .map(|(index, mean)| mean + index as f64)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_spread_as_little_as_needed() {
        assert_eq!(spread(&[0.0, 0.0, 0.0]), [-1.0, 0.0, 1.0]);
        assert_eq!(spread(&[0.0, 5.0, 5.0]), [0.0, 4.5, 5.5]);
        assert_eq!(spread(&[3.0, 1.0]), [1.5, 2.5]);
    }

    #[test]
    fn edges_are_untangled() {
        // Two chains whose steps come crosswise.
        let dag = Dag::build(["a", "b", "c", "d"], [(0, 3), (1, 2)]).unwrap();
        let (mut layers, _) = Layers::new(&dag, false);
        assert_eq!(layers.crossings(), 1);
        layers.order();
        assert_eq!(layers.crossings(), 0);
    }

    #[test]
    fn no_two_steps_of_a_layer_overlap() {
        let edges = (0..40).flat_map(|step| [(step, 40 + step * 7 % 40), (step, 40 + step * 3 % 40)]);
        let mut edges: Vec<_> = edges.collect();
        edges.sort_unstable();
        edges.dedup();
        let dag = Dag::build((0..80).map(|step| step.to_string()), edges).unwrap();
        let layout = layout(&dag);
        for level in 0..2 {
            let mut places: Vec<f64> = (0..80)
                .filter(|step| dag.levels()[*step] == level)
                .map(|step| layout.places[step])
                .collect();
            places.sort_by(f64::total_cmp);
            assert!(
                places.windows(2).all(|pair| pair[1] - pair[0] > 0.999),
                "{places:?}"
            );
        }
    }

    #[test]
    fn a_long_edge_bends_around_what_is_between() {
        let dag = Dag::build(["a", "b", "c"], [(0, 1), (1, 2), (0, 2)]).unwrap();
        let layout = layout(&dag);
        let long = layout
            .edges
            .iter()
            .find(|edge| edge.to == 2 && edge.from == 0)
            .unwrap();
        assert!((long.bends[0] - layout.places[1]).abs() > 0.999);
    }
    /// Returns a graph that looks random and is the same each time.
    fn tangle(steps: usize) -> Dag {
        let mut seed = 7_u64;
        let mut edges = Vec::new();
        for to in 1..steps {
            for _ in 0..2 {
                seed = seed
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                let from = to.saturating_sub(1 + (seed >> 33) as usize % 9);
                if !edges.contains(&(from, to)) {
                    edges.push((from, to));
                }
            }
        }
        Dag::build((0..steps).map(|step| step.to_string()), edges).unwrap()
    }

    #[test]
    fn crossings_are_the_pairs_of_edges_that_cross() {
        let (mut layers, _) = Layers::new(&tangle(60), false);
        let pairs = |layers: &Layers| {
            let place = |of: usize| layers.layers[layers.level[of]].iter().position(|own| *own == of);
            let edges = |layer: usize| {
                let above = layers.layers[layer].iter();
                above.flat_map(|from| {
                    layers.below[*from]
                        .iter()
                        .map(move |to| (place(*from), place(*to)))
                })
            };
            let crossing = |layer: usize| {
                let all: Vec<_> = edges(layer).collect();
                let mut count = 0;
                for (index, left) in all.iter().enumerate() {
                    count += all[index..]
                        .iter()
                        .filter(|right| {
                            (left.0 < right.0 && left.1 > right.1) || (left.0 > right.0 && left.1 < right.1)
                        })
                        .count();
                }
                count as u64
            };
            (0..layers.layers.len()).map(crossing).sum::<u64>()
        };
        assert_eq!(layers.crossings(), pairs(&layers));
        layers.order();
        assert_eq!(layers.crossings(), pairs(&layers));
    }

    #[test]
    fn a_drawing_stays_as_it_is() {
        let layout = layout(&tangle(40));
        let mut text = format!("width {:.3}\n", layout.width);
        for (step, place) in layout.places.iter().enumerate() {
            text.push_str(&format!("{step} at {place:.3}\n"));
        }
        for edge in &layout.edges {
            text.push_str(&format!("{} to {}: {:.3?}\n", edge.from, edge.to, edge.bends));
        }
        insta::assert_snapshot!(text);
    }

    #[test]
    fn edges_are_straight_when_there_is_too_much_to_draw() {
        // Three steps in a row, an edge across the second, one beside that, and others beside the first.
        for (steps, bends) in [(LARGE - 1, 1), (LARGE, 0)] {
            let dag = Dag::build(
                (0..steps).map(|step| step.to_string()),
                [(0, 1), (1, 2), (0, 2), (0, 3)],
            );
            let layout = layout(&dag.unwrap());
            let long = layout.edges.iter().find(|edge| (edge.from, edge.to) == (0, 2));
            assert_eq!(long.unwrap().bends.len(), bends, "{steps} steps");
            if bends == 0 {
                // Layers stand in the middle.
                let widest = (steps - 3) as f64;
                let middle = [(widest - 2.0) / 2.0, (widest - 1.0) / 2.0, widest / 2.0];
                assert_eq!(layout.places[1..4], middle);
            }
        }
    }
}
