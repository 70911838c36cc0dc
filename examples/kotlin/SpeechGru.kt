/* A speechgru bundle in Kotlin, over the C program's speechgru.h: samples in, text out.

       SpeechGru("bundle").use { model -> println(model.transcribe(samples)) }

   While somebody speaks, where `model.streams`:

       model.stream().use { stream ->
           while (more) println(stream.feed(samples))
           println(stream.finish())
       }

   Samples are one channel of floats in [-1, 1] at `model.sampleRate`. Any thread may call; one at a time computes. */

package speechgru

import java.io.Closeable

/** What failed, and what to do, in one line. */
class SpeechGruException internal constructor(bytes: ByteArray) : RuntimeException(String(bytes, Charsets.UTF_8))

/**
 * A bundle's model.
 *
 * @param bundle the folder that `speechgru export` wrote, or one .tflite file of it.
 * @param form one of the folder's forms, such as "dynamic"; its default where null.
 * @throws SpeechGruException it is missing, damaged, of another version or lacks the form.
 */
class SpeechGru(bundle: String, form: String? = null) : Closeable {
    private var model = Native.open(terminated(bundle), form?.let(::terminated))
    private val streaming = mutableSetOf<Stream>()

    /** Which form of the model this is. */
    val form: String = text(Native.form(model))

    /** Hz. */
    val sampleRate: Int = Native.sampleRate(model)

    /** Whether [stream] works: not with a bidirectional model. */
    val streams: Boolean = Native.streams(model)

    /** The text of a whole recording. */
    @Synchronized
    fun transcribe(samples: FloatArray): String = text(Native.transcribe(opened(), samples))

    /** Begins a recording that comes piece by piece. */
    @Synchronized
    fun stream(): Stream = Stream(Native.streamOpen(opened())).also { streaming += it }

    /** Runs the golden vectors beside the bundle: whether all are as they must be, and a line of each. */
    @Synchronized
    fun check(): Pair<Boolean, String> {
        val said = Native.check(opened()) // the verdict, then the lines
        return Pair(said[0] == 1.toByte(), String(said, 1, said.size - 1, Charsets.UTF_8))
    }

    /** Closes the model and its streams. */
    @Synchronized
    override fun close() {
        streaming.toList().forEach { it.close() }
        Native.close(model)
        model = 0
    }

    private fun opened(): Long = model.also { check(it != 0L) { "the model is closed" } }

    /** A recording that comes piece by piece. */
    inner class Stream internal constructor(private var stream: Long) : Closeable {
        /** Takes [count] samples from [start]; gives the text so far. */
        fun feed(samples: FloatArray, start: Int = 0, count: Int = samples.size - start): String =
            synchronized(this@SpeechGru) {
                require(start >= 0 && count >= 0 && count <= samples.size - start) {
                    "$count samples from $start on are more than the ${samples.size} given"
                }
                text(Native.streamFeed(opened(), samples, start, count))
            }

        /** Says that nothing follows; gives the whole text. */
        fun finish(): String = synchronized(this@SpeechGru) { text(Native.streamFinish(opened())) }

        override fun close() = synchronized(this@SpeechGru) {
            Native.streamClose(stream)
            stream = 0
            streaming -= this
        }

        private fun opened(): Long = stream.also { check(it != 0L) { "the stream is closed" } }
    }

    private companion object {
        fun terminated(name: String): ByteArray {
            require('\u0000' !in name) { "a name holds no character 0" }
            return name.toByteArray(Charsets.UTF_8) + 0
        }

        fun text(bytes: ByteArray) = String(bytes, Charsets.UTF_8)
    }
}

/** speechgru_jni.c. Texts are UTF-8: JNI's own strings write some characters otherwise. */
internal object Native {
    init {
        System.loadLibrary("speechgru_jni")
    }

    @JvmStatic external fun open(bundle: ByteArray, form: ByteArray?): Long
    @JvmStatic external fun close(model: Long)
    @JvmStatic external fun form(model: Long): ByteArray
    @JvmStatic external fun sampleRate(model: Long): Int
    @JvmStatic external fun streams(model: Long): Boolean
    @JvmStatic external fun transcribe(model: Long, samples: FloatArray): ByteArray
    @JvmStatic external fun check(model: Long): ByteArray
    @JvmStatic external fun streamOpen(model: Long): Long
    @JvmStatic external fun streamFeed(stream: Long, samples: FloatArray, start: Int, count: Int): ByteArray
    @JvmStatic external fun streamFinish(stream: Long): ByteArray
    @JvmStatic external fun streamClose(stream: Long)
}
