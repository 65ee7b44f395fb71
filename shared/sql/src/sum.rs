//! `sum` of whole numbers and decimals that fails where the sum does not fit its type. Between records it has room for
//! more, so that only the sum itself must fit.

use std::{any::type_name, collections::HashMap, fmt, marker::PhantomData, mem::size_of, sync::Arc};

use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, BooleanArray, Decimal128Array, PrimitiveArray,
    cast::AsArray,
    types::{Decimal128Type, Int64Type, UInt64Type},
};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, Field, FieldRef};
use datafusion::{
    common::{Result, ScalarValue, utils::SingleRowListArrayBuilder},
    functions_aggregate::sum::Sum,
    logical_expr::{
        Accumulator, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, SetMonotonicity, Signature,
        function::{AccumulatorArgs, StateFieldsArgs},
        utils::{AggregateOrderSensitivity, format_state_name},
    },
};

use crate::arithmetic::too_large;

/// Takes the place of DataFusion's `sum`, which it is for floats and whatever else is summed.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct CheckedSum(Sum);

/// Numbers that are summed with room to spare.
trait Summed: ArrowPrimitiveType + Send + Sync {
    fn wide(value: Self::Native) -> i128;
    fn narrow(value: i128, of: &DataType) -> Option<Self::Native>;
}

impl Summed for Int64Type {
    fn wide(value: i64) -> i128 {
        value.into()
    }

    fn narrow(value: i128, _: &DataType) -> Option<i64> {
        value.try_into().ok()
    }
}

impl Summed for UInt64Type {
    fn wide(value: u64) -> i128 {
        value.into()
    }

    fn narrow(value: i128, _: &DataType) -> Option<u64> {
        value.try_into().ok()
    }
}

impl Summed for Decimal128Type {
    fn wide(value: i128) -> i128 {
        value
    }

    fn narrow(value: i128, of: &DataType) -> Option<i128> {
        let DataType::Decimal128(precision, _) = of else { return None };
        let most = 10_u128.checked_pow((*precision).into())?;
        (value.unsigned_abs() < most).then_some(value)
    }
}

/// The type in which a sum that is not whole yet is handed on.
const STATE: DataType = DataType::Decimal128(38, 0);

fn state_of(sum: Option<i128>) -> ScalarValue {
    ScalarValue::Decimal128(sum, 38, 0)
}

fn added(sum: i128, value: i128, of: &DataType) -> Result<i128> {
    sum.checked_add(value).ok_or_else(|| too_large("the sum", of))
}

fn narrow<T: Summed>(sum: i128, of: &DataType) -> Result<T::Native> {
    T::narrow(sum, of).ok_or_else(|| too_large("the sum", of))
}

fn scalar<T: Summed>(sum: Option<i128>, of: &DataType) -> Result<ScalarValue> {
    let sum = sum.map(|sum| narrow::<T>(sum, of)).transpose()?;
    ScalarValue::new_primitive::<T>(sum, of)
}

/// Makes it of the sum's type, where that is one of those that are checked here.
macro_rules! of_type {
    ($of:expr, $make:ident) => {
        match $of {
            DataType::Int64 => Some(Box::new($make::<Int64Type>::new($of.clone())) as _),
            DataType::UInt64 => Some(Box::new($make::<UInt64Type>::new($of.clone())) as _),
            DataType::Decimal128(..) => Some(Box::new($make::<Decimal128Type>::new($of.clone())) as _),
            _ => None,
        }
    };
}

fn accumulator(arguments: &AccumulatorArgs) -> Option<Box<dyn Accumulator>> {
    let of = arguments.return_field.data_type();
    if arguments.is_distinct { of_type!(of, Distinct) } else { of_type!(of, All) }
}

impl AggregateUDFImpl for CheckedSum {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn signature(&self) -> &Signature {
        self.0.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.0.return_type(types)
    }

    fn accumulator(&self, arguments: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        accumulator(&arguments).map_or_else(|| self.0.accumulator(arguments), Ok)
    }

    fn create_sliding_accumulator(&self, arguments: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        accumulator(&arguments).map_or_else(|| self.0.create_sliding_accumulator(arguments), Ok)
    }

    fn state_fields(&self, arguments: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let checked =
            matches!(arguments.return_type(), DataType::Int64 | DataType::UInt64 | DataType::Decimal128(..));
        if arguments.is_distinct || !checked {
            return self.0.state_fields(arguments);
        }
        Ok(vec![Arc::new(Field::new(format_state_name(arguments.name, "sum"), STATE, true))])
    }

    fn groups_accumulator_supported(&self, arguments: AccumulatorArgs) -> bool {
        self.0.groups_accumulator_supported(arguments)
    }

    fn create_groups_accumulator(&self, arguments: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let of = arguments.return_field.data_type();
        of_type!(of, Groups).map_or_else(|| self.0.create_groups_accumulator(arguments), Ok)
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        self.0.reverse_expr()
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.0.order_sensitivity()
    }

    fn set_monotonicity(&self, of: &DataType) -> SetMonotonicity {
        self.0.set_monotonicity(of)
    }
}

/// The sum of all numbers, also of a window that moves.
struct All<T> {
    sum: i128,
    count: usize,
    of: DataType,
    numbers: PhantomData<T>,
}

impl<T> All<T> {
    fn new(of: DataType) -> Self {
        Self { sum: 0, count: 0, of, numbers: PhantomData }
    }

    fn sum(&self) -> Option<i128> {
        (self.count > 0).then_some(self.sum)
    }
}

impl<T> fmt::Debug for All<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "All<{}>", type_name::<T>())
    }
}

impl<T: Summed> Accumulator for All<T> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = values[0].as_primitive::<T>();
        for value in values.iter().flatten() {
            self.sum = added(self.sum, T::wide(value), &self.of)?;
        }
        self.count += values.len() - values.null_count();
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = values[0].as_primitive::<T>();
        for value in values.iter().flatten() {
            self.sum = self.sum.checked_sub(T::wide(value)).ok_or_else(|| too_large("the sum", &self.of))?;
        }
        self.count -= values.len() - values.null_count();
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for sum in states[0].as_primitive::<Decimal128Type>().iter().flatten() {
            self.sum = added(self.sum, sum, &self.of)?;
            self.count += 1;
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![state_of(self.sum())])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        scalar::<T>(self.sum(), &self.of)
    }

    fn size(&self) -> usize {
        size_of::<Self>()
    }
}

/// The sum of numbers that are each taken once, with how often each is in the window.
struct Distinct<T: ArrowPrimitiveType> {
    counts: HashMap<T::Native, usize>,
    sum: i128,
    of: DataType,
}

impl<T: ArrowPrimitiveType> Distinct<T> {
    fn new(of: DataType) -> Self {
        Self { counts: HashMap::new(), sum: 0, of }
    }
}

impl<T: ArrowPrimitiveType> fmt::Debug for Distinct<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Distinct<{}>", type_name::<T>())
    }
}

impl<T: Summed> Accumulator for Distinct<T>
where
    T::Native: Eq + std::hash::Hash,
{
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in values[0].as_primitive::<T>().iter().flatten() {
            let count = self.counts.entry(value).or_insert(0);
            *count += 1;
            if *count == 1 {
                self.sum = added(self.sum, T::wide(value), &self.of)?;
            }
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in values[0].as_primitive::<T>().iter().flatten() {
            let Some(count) = self.counts.get_mut(&value) else { continue };
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&value);
                let sum = self.sum.checked_sub(T::wide(value));
                self.sum = sum.ok_or_else(|| too_large("the sum", &self.of))?;
            }
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        states[0].as_list::<i32>().iter().flatten().try_for_each(|values| self.update_batch(&[values]))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values = PrimitiveArray::<T>::from_iter_values(self.counts.keys().copied());
        let values = values.with_data_type(self.of.clone());
        Ok(vec![SingleRowListArrayBuilder::new(Arc::new(values)).build_list_scalar()])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        scalar::<T>((!self.counts.is_empty()).then_some(self.sum), &self.of)
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.counts.capacity() * size_of::<(T::Native, usize)>()
    }
}

/// The sums of many groups.
struct Groups<T> {
    sums: Vec<i128>,
    seen: Vec<bool>,
    of: DataType,
    numbers: PhantomData<T>,
}

impl<T> Groups<T> {
    fn new(of: DataType) -> Self {
        Self { sums: Vec::new(), seen: Vec::new(), of, numbers: PhantomData }
    }

    fn add(&mut self, group: usize, value: i128) -> Result<()> {
        self.seen[group] = true;
        self.sums[group] = added(self.sums[group], value, &self.of)?;
        Ok(())
    }

    fn make_room(&mut self, groups: usize) {
        self.sums.resize(groups, 0);
        self.seen.resize(groups, false);
    }
}

/// Whether each record counts.
fn counting(filter: &BooleanArray) -> NullBuffer {
    filter.iter().map(|keeps| keeps == Some(true)).collect()
}

impl<T: Summed> GroupsAccumulator for Groups<T> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.make_room(total);
        let values = values[0].as_primitive::<T>();
        let counts = NullBuffer::union(values.nulls(), filter.map(counting).as_ref());
        let all = groups.iter().zip(values.values()).enumerate();
        match counts.filter(|counts| counts.null_count() > 0) {
            None => all.into_iter().try_for_each(|(_, (group, value))| self.add(*group, T::wide(*value))),
            Some(counts) => all
                .into_iter()
                .filter(|(place, _)| counts.is_valid(*place))
                .try_for_each(|(_, (group, value))| self.add(*group, T::wide(*value))),
        }
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.make_room(total);
        let sums = states[0].as_primitive::<Decimal128Type>().iter();
        let sums = groups.iter().zip(sums).filter_map(|(group, sum)| Some((*group, sum?)));
        sums.into_iter().try_for_each(|(group, sum)| self.add(group, sum))
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let (sums, seen) = (emit.take_needed(&mut self.sums), emit.take_needed(&mut self.seen));
        let sums = sums.into_iter().map(|sum| narrow::<T>(sum, &self.of)).collect::<Result<Vec<_>>>()?;
        let sums = PrimitiveArray::<T>::new(sums.into(), Some(NullBuffer::from(seen)));
        Ok(Arc::new(sums.with_data_type(self.of.clone())))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        let (sums, seen) = (emit.take_needed(&mut self.sums), emit.take_needed(&mut self.seen));
        let sums = Decimal128Array::new(sums.into(), Some(NullBuffer::from(seen)));
        Ok(vec![Arc::new(sums.with_data_type(STATE))])
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let values = values[0].as_primitive::<T>();
        let sums: Vec<i128> = values.values().iter().map(|value| T::wide(*value)).collect();
        let counts = NullBuffer::union(values.nulls(), filter.map(counting).as_ref());
        Ok(vec![Arc::new(Decimal128Array::new(sums.into(), counts).with_data_type(STATE))])
    }

    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<i128>() + self.seen.capacity()
    }
}
