/** The same, by libfuse. */
import './transport.ts';
import '../faults.test.ts';
