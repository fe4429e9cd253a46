pub(super) struct Arguments;
